"""Keeps priority and fairness in step with its objects: the defaults in the store, changes taken in, seats lent.

Every instance does this by itself from the same state. The status of a FlowSchema tells whether its level exists
(condition Dangling); it is written only where it says something else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.bootstrap.reconcilers import Reconciler
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.registry.patching import APPLY_PATCH, Patches
from keelson.storage.errors import StorageError

from . import bootstrap_objects
from .bootstrap_objects import API_VERSION, AUTO_UPDATE
from .decisions.concurrency import PERIOD
from .flows import Flows

log = logging.getLogger(__name__)

LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
_ENSURE_SECONDS = 60.0
_STATUS_MANAGER = "api-priority-and-fairness-config-consumer-v1"
_BOOTSTRAP_MANAGER = "api-priority-and-fairness-config-producer-v1"
_DANGLING = "Dangling"


class Upkeep:
    """The worker of one instance."""

    def __init__(
        self,
        flows: Flows,
        catalogue: Catalogue,
        objects: Objects,
        patches: Patches,
        deletions: Deletions,
        reconciler: Reconciler,
    ) -> None:
        self._flows = flows
        self._catalogue = catalogue
        self._objects = objects
        self._patches = patches
        self._deletions = deletions
        self._reconciler = reconciler
        self._levels, self._schemas = catalogue.named(LEVELS), catalogue.named(SCHEMAS)
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Load and take in what the store has."""
        for served in (self._levels, self._schemas):
            collection = await self._objects.cached(served)
            collection.observers.append(lambda _changes: self._changed.set())
        self._changed.set()

    async def run(self) -> None:
        """Work for ever; `start` must have returned."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._lend())
            group.create_task(self._repeat(self.ensure, _ENSURE_SECONDS))

    async def _repeat(self, job: Callable[[], object], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await _tried(job)

    async def _lend(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._flows.lend(monotonic())

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._flows.digest(self._all(self._levels), self._all(self._schemas))
            for schema in self._all(self._schemas):
                await _tried(lambda schema=schema: self._report(schema))  # type: ignore[misc]

    def _all(self, served: Served) -> list[Object]:
        collection = self._catalogue.collection(served)
        return [self._objects.object(served, item) for item in collection.items.values()]

    # --- status

    async def _report(self, schema: Object) -> None:
        level = schema["spec"]["priorityLevelConfiguration"]["name"]
        told = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
        if level in self._flows.levels:
            value, reason, message = "False", "Found", f"{told} and it exists"
        else:
            value, reason, message = "True", "NotFound", f"{told} but there is no such object"
        now = next((each for each in meta.conditions(schema) if each.get("type") == _DANGLING), {})
        if (now.get("status"), now.get("reason"), now.get("message")) == (value, reason, message):
            return
        condition = {
            "type": _DANGLING,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": meta.format_time(datetime.now(UTC)),
        }
        patch: Object = {
            "apiVersion": API_VERSION,
            "kind": "FlowSchema",
            # Bound to what was looked at: a schema of that name that was made meanwhile is looked at in its turn.
            "metadata": {"name": meta.name(schema), "uid": meta.uid(schema)},
            "status": {"conditions": [condition]},
        }
        context = self._reconciler.context(self._schemas, "patch")
        context.manager, context.force = _STATUS_MANAGER, True
        await self._patches.patch(
            context, self._schemas, "", meta.name(schema), APPLY_PATCH, orjson.dumps(patch), subresource="status"
        )

    # --- defaults

    async def ensure(self) -> None:
        """Bring the defaults into the store. Raises StatusError."""
        for served, suggested, mandatory in (
            (self._levels, bootstrap_objects.suggested_levels(), bootstrap_objects.mandatory_levels()),
            (self._schemas, bootstrap_objects.suggested_schemas(), bootstrap_objects.mandatory_schemas()),
        ):
            collection = await self._objects.cached(served)
            jobs = [self._ensure(served, obj, always=False) for obj in suggested]
            jobs += [self._ensure(served, obj, always=True) for obj in mandatory]
            await asyncio.gather(*jobs)
            known = {meta.name(obj) for obj in (*suggested, *mandatory)}
            for item in list(collection.items.values()):
                if item.name not in known:
                    await self._remove_dropped(served, self._objects.object(served, item))

    async def _ensure(self, served: Served, wanted: Object, *, always: bool) -> None:
        name = meta.name(wanted)
        item = self._catalogue.collection(served).items.get(served.key("", name))
        if item is None:
            context = self._reconciler.context(served, "create")
            context.manager = _BOOTSTRAP_MANAGER
            try:
                await self._objects.create(context, served, "", orjson.loads(orjson.dumps(wanted)))
            except errors.StatusError as error:
                # Another instance was faster.
                if error.reason != "AlreadyExists":
                    raise
            return
        if revised(self._objects.object(served, item), wanted, always=always) is None:
            return
        context = self._reconciler.context(served, "update")
        context.manager = _BOOTSTRAP_MANAGER
        log.info("%s %s is brought back to its default", served.resource.kind, name)
        await self._objects.update(context, served, "", name, lambda obj: revised(obj, wanted, always=always) or obj)

    async def _remove_dropped(self, served: Served, obj: Object) -> None:
        """Delete what an earlier release suggested and nobody made his own."""
        if meta.annotations(obj).get(AUTO_UPDATE) != "true":
            return
        context = self._reconciler.context(served, "delete")
        preconditions = {"uid": meta.uid(obj), "resourceVersion": meta.resource_version(obj)}
        await self._deletions.delete(context, served, "", meta.name(obj), {"preconditions": preconditions})


def revised(stored: Object, wanted: Object, *, always: bool) -> Object | None:
    """The stored object as it should be, None where it is; `always` for one whose spec nobody may change.

    Without the annotation, an object whose spec was never changed (generation 1) still belongs to the server.
    """
    stated = meta.annotations(stored).get(AUTO_UPDATE, "").lower()
    mine = always or (stated == "true" if stated in ("true", "false") else meta.metadata(stored).get("generation") == 1)
    new = orjson.loads(orjson.dumps(stored))
    if mine and not _covers(stored.get("spec"), wanted["spec"]):
        new["spec"] = orjson.loads(orjson.dumps(wanted["spec"]))
    if stated != str(mine).lower():
        new["metadata"].setdefault("annotations", {})[AUTO_UPDATE] = str(mine).lower()
    return None if new == stored else new


def _covers(stored: object, wanted: object) -> bool:
    """Whether the stored spec is the wanted one with defaults filled in."""
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return all(_covers(stored.get(key), value) for key, value in wanted.items()) and all(
            key in wanted or not value for key, value in stored.items()
        )
    if isinstance(wanted, list) and isinstance(stored, list):
        return len(wanted) == len(stored) and all(map(_covers, stored, wanted))
    return stored == wanted


async def _tried(job: Callable[[], object]) -> None:
    """Run one of the jobs; what fails is done again in its next round."""
    try:
        await job()  # type: ignore[misc]
    except errors.StatusError as error:
        if error.code != 404:
            log.warning("priority and fairness: %s", error)
    except StorageError as error:
        log.warning("priority and fairness: %s", error)
