"""garbage-collector-controller: deletes what its owners left behind, and carries out orphan and foreground deletion.

Reads: metadata of every resource that can be listed, watched and deleted. Writes: deletes, owner references,
finalizers. Rules: Kubernetes documentation, "Garbage Collection" and "Use Cascading Deletion".
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.informers import Informer
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import ownership

log = logging.getLogger(__name__)

# How often the set of resources is looked at anew: custom resources come and go.
_DISCOVERY_PERIOD = 30.0
# Written by those that keep them for themselves; owners are never noted on them.
_IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})


class GarbageCollector:
    """Keeps metadata of all objects, and looks at an object whenever it, an owner or a dependent changed."""

    name = "garbage-collector-controller"
    account = "generic-garbage-collector"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("garbage_collector_attempt_to_delete")
        self._informers: dict[tuple[str, str], Informer] = {}

    async def run(self) -> None:
        """Collect until cancelled."""
        async with asyncio.TaskGroup() as group:
            running: dict[tuple[str, str], asyncio.Task[None]] = {}
            await self._discover(group, running)
            for informer in list(self._informers.values()):
                await informer.synced()
            # Only now: an owner is absent only if all were looked at.
            group.create_task(work(self.name, self._queue, self._reconcile, workers=10))
            while True:
                await asyncio.sleep(_DISCOVERY_PERIOD)
                try:
                    await self._discover(group, running)
                except errors.StatusError as error:
                    log.warning("discovery: %s", error.message)

    async def _discover(self, group: asyncio.TaskGroup, running: dict[tuple[str, str], asyncio.Task[None]]) -> None:
        found, failed = await discoveries.resources(self._client)
        wanted = {
            (one.group, one.plural): one
            for one in found
            if {"list", "watch", "delete"} <= set(one.verbs) and (one.group, one.plural) not in _IGNORED
        }
        for key, resource in wanted.items():
            if key not in running:
                informer = Informer(self._client, resource, metadata_only=True)
                informer.store.add_index("owner", lambda obj: [str(owner["uid"]) for owner in meta.owners(obj)])
                informer.add_handler(functools.partial(self._changed, resource))
                self._informers[key] = informer
                running[key] = group.create_task(informer.run())
        silent = {name.rpartition("/")[0] for name in failed}
        for key in [key for key in running if key not in wanted and key[0] not in silent]:
            running.pop(key).cancel()
            del self._informers[key]

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if new is not None:
            if meta.owners(new) or ownership.is_waiting(new):
                self._queue.add(_key(resource, new))
        elif old is not None:
            for informer, dependent in self._dependents(meta.uid(old)):
                self._queue.add(_key(informer.resource, dependent))
        # An owner in foreground deletion waits for this one.
        for obj in (old, new):
            for owner in meta.owners(obj) if obj is not None else []:
                found = self._owner(owner, meta.namespace(obj or {}))
                if found is not None and ownership.is_waiting(found[1]):
                    self._queue.add(_key(found[0].resource, found[1]))

    def _dependents(self, uid: str) -> Iterator[tuple[Informer, Object]]:
        for informer in self._informers.values():
            for obj in informer.store.by_index("owner", uid):
                yield informer, obj

    def _owner(self, reference: Object, namespace: str) -> tuple[Informer, Object] | None:
        group = str(reference["apiVersion"]).rpartition("/")[0]
        for informer in self._informers.values():
            resource = informer.resource
            if resource.group == group and resource.kind == reference["kind"]:
                key = meta.key_of(namespace if resource.namespaced else "", reference["name"])
                found = informer.store.get(key)
                if found is not None and meta.uid(found) == reference["uid"]:
                    return informer, found
        return None

    async def _reconcile(self, key: str) -> float | None:
        qualified, _, name = key.partition("|")
        plural, _, group = qualified.partition(".")
        informer = self._informers.get((group, plural))
        obj = informer.store.get(name) if informer is not None else None
        if informer is None or obj is None:
            return None
        if ownership.is_waiting(obj):
            await self._finish_deletion(informer.resource, obj)
            return None
        if meta.is_deleting(obj) or not meta.owners(obj):
            return None
        states = {str(owner["uid"]): await self._state(owner, meta.namespace(obj)) for owner in meta.owners(obj)}
        decision = ownership.decide(obj, states)
        if decision.delete:
            if "waiting" in states.values():
                await self._unblock(informer.resource, obj)
            await self._delete(informer.resource, obj, decision.delete)
        elif decision.keep is not None:
            patch = {"metadata": {"uid": meta.uid(obj), "ownerReferences": decision.keep or None}}
            await self._client.patch(informer.resource, meta.name(obj), patch, namespace=meta.namespace(obj))
        return None

    async def _state(self, reference: Object, namespace: str) -> ownership.OwnerState:
        found = self._owner(reference, namespace)
        if found is None:
            return await self._ask(reference, namespace)
        return ownership.state_of(found[1])

    async def _ask(self, reference: Object, namespace: str) -> ownership.OwnerState:
        """The server's word before anything is deleted: the informer may only be late."""
        group = str(reference["apiVersion"]).rpartition("/")[0]
        resource = next(
            (
                i.resource
                for i in self._informers.values()
                if (i.resource.group, i.resource.kind) == (group, reference["kind"])
            ),
            None,
        )
        if resource is None:
            # A kind that we can't see: its objects may well exist.
            return "unknown"
        try:
            found = await self._client.get(
                resource, reference["name"], namespace=namespace if resource.namespaced else ""
            )
        except errors.StatusError as error:
            if error.code == 404:
                return "absent"
            raise
        return ownership.state_of(found) if meta.uid(found) == reference["uid"] else "absent"

    async def _delete(self, resource: Resource, obj: Object, policy: str) -> None:
        try:
            await self._client.delete(
                resource,
                meta.name(obj),
                namespace=meta.namespace(obj),
                uid=meta.uid(obj),
                propagation_policy=policy,
            )
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise

    async def _unblock(self, resource: Resource, obj: Object) -> None:
        """Where a dependent of the object waits for its own, they may all wait for each other: it holds up no owner."""
        if not any(ownership.state_of(dependent) == "waiting" for _, dependent in self._dependents(meta.uid(obj))):
            return
        patch = {
            "metadata": {
                "uid": meta.uid(obj),
                "resourceVersion": meta.resource_version(obj),
                "ownerReferences": ownership.unblocking(obj),
            }
        }
        await self._client.patch(resource, meta.name(obj), patch, namespace=meta.namespace(obj))

    async def _finish_deletion(self, resource: Resource, obj: Object) -> None:
        dependents = list(self._dependents(meta.uid(obj)))
        finalizer = ownership.waiting_finalizer(obj)
        if finalizer == ownership.ORPHAN:
            for informer, dependent in dependents:
                rest = [owner for owner in meta.owners(dependent) if owner["uid"] != meta.uid(obj)]
                patch = {"metadata": {"uid": meta.uid(dependent), "ownerReferences": rest or None}}
                try:
                    await self._client.patch(
                        informer.resource, meta.name(dependent), patch, namespace=meta.namespace(dependent)
                    )
                except errors.StatusError as error:
                    if error.code not in {404, 409}:
                        raise
        else:
            blocking = [pair for pair in dependents if ownership.blocks(pair[1], meta.uid(obj))]
            for informer, dependent in dependents:
                if not meta.is_deleting(dependent):
                    self._queue.add(_key(informer.resource, dependent))
            if blocking:
                return
        rest = [name for name in meta.metadata(obj).get("finalizers") or [] if name != finalizer]
        patch = {
            "metadata": {
                "uid": meta.uid(obj),
                "resourceVersion": meta.resource_version(obj),
                "finalizers": rest or None,
            }
        }
        try:
            await self._client.patch(resource, meta.name(obj), patch, namespace=meta.namespace(obj))
        except errors.StatusError as error:
            if error.code != 404:
                raise


def _key(resource: Resource, obj: Object) -> str:
    return f"{resource.qualified}|{meta.key(obj)}"
