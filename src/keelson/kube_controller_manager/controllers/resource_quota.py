"""resourcequota-controller: counts what quotas limit, since admission only ever adds to it.

Reads: resourcequotas, and of what they limit the objects (pods, services, claims) or their number. Writes:
resourcequotas/status. What is counted by number alone is watched as metadata, and only while a quota names it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence

from keelson.api import meta, resource_lists
from keelson.api.meta import Object
from keelson.api.quotas import charges, evaluators
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.informers import Informer
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

log = logging.getLogger(__name__)

RESOURCE = "resourcequotas"
# What is charged with more than its number, so that the objects are needed whole.
_WHOLE = ("pods", "services", "persistentvolumeclaims", "resourceclaims.resource.k8s.io")
_BY_NAMESPACE = "all-of-namespace"
# New objects were charged by admission: they are counted once a burst of them is over.
_SETTLED = 1.0
# How soon a resource that a quota names and nobody serves yet (a custom one) is looked for again.
_LOOK_FOR = 5.0


class ResourceQuotaController:
    """One reconcile per quota: when it changes, when what it limits changes, and every sync period."""

    name = "resourcequota-controller"
    account = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue("resourcequota_primary")
        self._quotas = context.informers.informer(RESOURCE)
        self._quotas.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._quotas.add_handler(self._quota_changed)
        self._informers: dict[str, Informer] = {}
        for resource in _WHOLE:
            self._follow(resource, context.informers.informer(resource))
        self._group: asyncio.TaskGroup | None = None

    def _follow(self, resource: str, informer: Informer) -> None:
        informer.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        informer.add_handler(functools.partial(self._object_changed, resource))
        self._informers[resource] = informer

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(work(self.name, self._queue, self._reconcile, workers=5))
            while True:
                await asyncio.sleep(self._context.settings.resource_quota_sync_period)
                for key in self._quotas.store.keys():  # noqa: SIM118 - the store is no mapping
                    self._queue.add(key)

    def _quota_changed(self, old: Object | None, new: Object | None) -> None:
        # Changes of the status are admission's and our own.
        if new is not None and (old is None or old.get("spec") != new.get("spec")):
            self._queue.add(meta.key(new))

    def _object_changed(self, resource: str, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        quotas = self._quotas.store.by_index(_BY_NAMESPACE, meta.namespace(obj))
        if not quotas or (old is not None and new is not None and not _matters(resource, old, new)):
            return
        evaluator = evaluators.evaluator(resource)
        for quota in quotas:
            if charges.tracked(quota, [evaluator]):
                self._queue.add_after(meta.key(quota), 0.0 if new is None or old is not None else _SETTLED)

    async def _reconcile(self, key: str) -> float | None:
        quota = self._quotas.store.get(key)
        if quota is None:
            return None
        counted = sorted({name for name in map(_resource_of, _hard(quota)) if name})
        missing = await self._watch([name for name in counted if name not in self._informers])
        found = [
            (evaluator, self._informers[evaluator.resource].store.by_index(_BY_NAMESPACE, meta.namespace(quota)))
            for evaluator in charges.tracked(quota, map(evaluators.evaluator, self._informers))
        ]
        status = charges.counted(quota, found, self._context.now())
        # A custom resource that is not served yet has no objects.
        status["used"] |= {name: "0" for name in _hard(quota) if _resource_of(name) in missing}
        old = quota.get("status") or {}
        if old.get("hard") != status["hard"] or not resource_lists.equal(old.get("used") or {}, status["used"]):
            await self._client.update_status(RESOURCE, {**quota, "status": status})
        return _LOOK_FOR if missing else None

    async def _watch(self, names: Sequence[str]) -> set[str]:
        """Follow these resources too; those that nobody serves are returned."""
        if not names:
            return set()
        assert self._group is not None
        served, _ = await discoveries.resources(self._client)
        known = {one.qualified: one for one in served if one.namespaced and {"list", "watch"} <= set(one.verbs)}
        for name in names:
            if name in known and name not in self._informers:
                self._start(known[name])
        for name in names:
            if name in known:
                await self._informers[name].synced()
        return set(names) - known.keys()

    def _start(self, resource: Resource) -> None:
        assert self._group is not None
        informer = Informer(self._context.informers.client, resource, metadata_only=True)
        self._follow(resource.qualified, informer)
        self._group.create_task(informer.run())
        log.info("%s: counting %s", self.name, resource.qualified)


def _hard(quota: Object) -> Object:
    return (quota.get("spec") or {}).get("hard") or {}


def _resource_of(name: str) -> str:
    """The resource that a quota's resource name counts by number alone, "" where it is none."""
    if name in evaluators.ALIASES:
        return name
    resource = name.removeprefix("count/") if name.startswith("count/") else ""
    return "" if resource in evaluators.IGNORED else resource


def _matters(resource: str, old: Object, new: Object) -> bool:
    """Whether an update can change what the object is charged with."""
    match resource:
        case "pods":
            return _phase(old) != _phase(new) or old.get("spec") != new.get("spec") or _resized(old) != _resized(new)
        case "services" | "persistentvolumeclaims" | "resourceclaims.resource.k8s.io":
            return old.get("spec") != new.get("spec") or old.get("status") != new.get("status")
    return False


def _phase(pod: Object) -> tuple[str, bool]:
    return str((pod.get("status") or {}).get("phase") or ""), meta.is_deleting(pod)


def _resized(pod: Object) -> list[object]:
    return [found.get("allocatedResources") for found in (pod.get("status") or {}).get("containerStatuses") or ()]
