"""Keeps the status of CRDs true and empties what is deleted.

Every instance does this on its own from the same state: all compute the same answer, and a write that says nothing new
is none. A CRD that is being deleted keeps its finalizer until the last of its objects is gone
(customresourcecleanup.apiextensions.k8s.io).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Change
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.request_infos import RequestInfo
from keelson.storage.errors import StorageError

from . import names
from .definitions import RESOURCE, Definitions

log = logging.getLogger(__name__)

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_RETRY_SECONDS = 1.0


def mark(context: Context, definition: Object) -> None:
    """What deletion adds to a CRD: the finalizer, and the condition that tells what comes."""
    metadata = definition["metadata"]
    if FINALIZER not in (metadata.get("finalizers") or ()):
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    definition["status"] = _terminating(definition, "True", "InstanceDeletionPending", message, context.now)


def _terminating(definition: Object, value: str, reason: str, message: str, now: datetime) -> Object:
    conditions = meta.with_condition(
        meta.conditions(definition), type_=names.TERMINATING, status=value, reason=reason, message=message, now=now
    )
    return {**(definition.get("status") or {}), "conditions": conditions}


class Upkeep:
    """The worker of one instance."""

    def __init__(self, catalogue: Catalogue, objects: Objects, deletions: Deletions, definitions: Definitions) -> None:
        self._resource = catalogue.named(RESOURCE)
        self._objects = objects
        self._deletions = deletions
        self._definitions = definitions
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        # Names in the queue: a CRD is looked at once for any number of changes before its turn.
        self._waiting: set[str] = set()
        objects.hooks.marked[RESOURCE] = mark

    async def run(self) -> None:
        """Work for ever. `Definitions.start` must have returned."""
        self._definitions.collection.observers.append(self._observe)
        self._observe(None)
        while True:
            name = await self._queue.get()
            self._waiting.discard(name)
            try:
                await self._look(name)
            except errors.StatusError as error:
                if error.code != 404:
                    self._again(name, str(error))
            except (StorageError, ExceptionGroup) as error:
                self._again(name, str(error))
            except Exception as error:
                # One CRD that is our own fault must not leave all others untended.
                log.exception("CustomResourceDefinition %s", name)
                self._again(name, type(error).__name__)

    def _again(self, name: str, why: str) -> None:
        log.warning("CustomResourceDefinition %s waits: %s", name, why)
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._enqueue, name)

    def _enqueue(self, name: str) -> None:
        if name not in self._waiting:
            self._waiting.add(name)
            self._queue.put_nowait(name)

    def _observe(self, changes: list[Change] | None) -> None:
        if changes is None or any(change.current is None for change in changes):
            # Names that a deleted CRD held are free now, and who waits for them is not written down anywhere.
            for definition in self._definitions.all():
                self._enqueue(meta.name(definition))
            return
        for change in changes:
            self._enqueue(change.told.name)

    def _context(self, served: Served, verb: str) -> Context:
        resource = served.resource
        info = RequestInfo(True, verb, "", resource.group, resource.version, resource=resource.plural)
        return Context(LOOPBACK, info, datetime.now(UTC), manager="kube-apiserver")

    async def _look(self, name: str) -> None:
        definition = self._definitions.get(name)
        if definition is None:
            return
        if meta.is_deleting(definition):
            if FINALIZER in (meta.metadata(definition).get("finalizers") or ()):
                await self._empty(name, definition)
            return
        now = datetime.now(UTC)
        wanted = self._status(definition, now)
        if wanted == definition.get("status"):
            return

        def change(obj: Object) -> Object:
            return {**obj, "status": self._status(obj, now)}

        context = self._context(self._resource, "update")
        await self._objects.update(context, self._resource, "", name, change, subresource="status")
        # A name that this one gave up may be what another waits for.
        for other in self._definitions.all():
            if meta.condition_is(other, names.NAMES_ACCEPTED, "False"):
                self._enqueue(meta.name(other))

    def _status(self, definition: Object, now: datetime) -> Object:
        group = definition["spec"]["group"]
        taken = names.held(self._definitions.all(), group, besides=meta.name(definition))
        return names.status(definition, taken, now)

    async def _empty(self, name: str, definition: Object) -> None:
        """Delete the objects of a CRD that ends; once there are none left, let it go."""
        served = self._definitions.served(name)
        if served:
            # In the stored version where that is served: a webhook that is gone must not keep its CRD from going.
            chosen = next((each for each in served if each.extras["storage"]), served[0])
            if not await self._emptied(name, chosen):
                return
            done = ("InstanceDeletionCompleted", "removed all instances")
        else:
            done = ("NeverEstablished", "resource was never established")

        def release(obj: Object) -> Object:
            metadata = obj["metadata"]
            metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each != FINALIZER]
            return obj

        if (meta.metadata(definition).get("finalizers") or []) == [FINALIZER]:
            await self._tell(name, "False", *done, datetime.now(UTC))
        # Where others keep it, it stays as it is told of: nothing may be created that nobody would delete.
        await self._objects.update(self._context(self._resource, "update"), self._resource, "", name, release)
        log.info("CustomResourceDefinition %s: %s", name, done[1])

    async def _emptied(self, name: str, served: Served) -> bool:
        collection = await self._objects.fresh(served, stored=True)
        if not collection.items:
            return True
        now = datetime.now(UTC)
        message = "CustomResource deletion is in progress"
        await self._tell(name, "True", "InstanceDeletionInProgress", message, now)
        items = (await self._objects.fresh(served)).select(Selection())[0]
        await self._deletions.delete_collection(self._context(served, "delete"), served, items, {})
        left = len((await self._objects.fresh(served, stored=True)).items)
        if left:
            # Their finalizers are other controllers' to take away.
            self._again(name, f"{left} of its objects are still there")
        return not left

    async def _tell(self, name: str, value: str, reason: str, message: str, now: datetime) -> None:
        def change(obj: Object) -> Object:
            return {**obj, "status": _terminating(obj, value, reason, message, now)}

        context = self._context(self._resource, "update")
        await self._objects.update(context, self._resource, "", name, change, subresource="status")
