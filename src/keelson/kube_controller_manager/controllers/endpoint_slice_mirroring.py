"""endpointslice-mirroring-controller: slices of Endpoints that somebody made for a Service without a selector.

Reads: endpoints, services, endpointslices.discovery.k8s.io. Writes: endpointslices.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import endpoint_slices, endpoints
from keelson.kube_controller_manager.own_writes import OwnWrites

SLICES = "endpointslices.discovery.k8s.io"
_INDEX = "mirrored"


class EndpointSliceMirroringController:
    """One reconcile per Endpoints; queued by them, their Service and their slices."""

    name = "endpointslice-mirroring-controller"
    account = "endpointslicemirroring-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("endpoint_slice_mirroring")
        self._endpoints = context.informers.informer("endpoints")
        self._services = context.informers.informer("services")
        for informer in (self._endpoints, self._services):
            informer.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._slices = context.informers.informer(SLICES)
        self._slices.store.add_index(_INDEX, _mirrored)
        self._slices.add_handler(self._slice_changed)
        self._writes = OwnWrites(self._slices)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            for key in _mirrored(obj) if obj is not None else []:
                self._queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        found = self._endpoints.store.get(key)
        seen = self._writes.over(self._slices.store.by_index(_INDEX, key), lambda obj: _mirrored(obj) == [key])
        if found is None or not endpoints.is_mirrored(found, self._services.store.get(key)):
            for gone in seen:
                await self._delete(gone)
            return None
        plan = endpoints.mirror(found, seen)
        if not meta.is_deleting(found):
            for fresh in plan.create:
                self._writes.created(await self._client.create(SLICES, fresh))
        for changed in plan.update:
            self._writes.created(await self._client.update(SLICES, changed))
        for gone in plan.delete:
            await self._delete(gone)
        return None

    async def _delete(self, found: Object) -> None:
        try:
            await self._client.delete(SLICES, meta.name(found), namespace=meta.namespace(found), uid=meta.uid(found))
        except errors.StatusError as error:
            if error.code != 404:
                raise
        self._writes.deleted(found)


def _mirrored(found: Object) -> list[str]:
    labels = meta.labels(found)
    name = labels.get(endpoint_slices.SERVICE_NAME)
    if labels.get(endpoint_slices.MANAGED_BY) != endpoints.MIRROR or not name:
        return []
    return [meta.key_of(meta.namespace(found), name)]
