"""endpointslice-controller: the pods behind each Service that has a selector.

Reads: services, pods, nodes, endpointslices.discovery.k8s.io. Writes: endpointslices.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import endpoint_slices
from keelson.kube_controller_manager.own_writes import OwnWrites
from keelson.kube_controller_manager.service_pods import ServicePods, is_followed

SLICES = "endpointslices.discovery.k8s.io"


class EndpointSliceController:
    """One reconcile per service; a pod queues the services of its namespace that select it."""

    name = "endpointslice-controller"
    account = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("endpoint_slice")
        self._pods = ServicePods(context, self._queue)
        self._nodes = context.informers.informer("nodes")
        self._slices = context.informers.informer(SLICES)
        self._slices.store.add_index("service", _service_of)
        self._slices.add_handler(self._slice_changed)
        self._writes = OwnWrites(self._slices)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            for key in _service_of(obj) if obj is not None else []:
                self._queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        service = self._pods.service(key)
        # A deleted service's slices go by garbage collection.
        if service is None or not is_followed(service):
            return None
        nodes = {meta.name(node): node for node in self._nodes.store}
        seen = self._writes.over(self._slices.store.by_index("service", key), lambda found: _service_of(found) == [key])
        plan = endpoint_slices.plan(service, self._pods.of(service), nodes, seen)
        for fresh in plan.create:
            self._writes.created(await self._client.create(SLICES, fresh))
        for changed in plan.update:
            self._writes.created(await self._client.update(SLICES, changed))
        for gone in plan.delete:
            try:
                await self._client.delete(SLICES, meta.name(gone), namespace=meta.namespace(gone), uid=meta.uid(gone))
            except errors.StatusError as error:
                if error.code != 404:
                    raise
            self._writes.deleted(gone)
        return None


def _service_of(found: Object) -> list[str]:
    labels = meta.labels(found)
    if labels.get(endpoint_slices.MANAGED_BY) != endpoint_slices.MANAGER:
        return []
    name = labels.get(endpoint_slices.SERVICE_NAME)
    return [meta.key_of(meta.namespace(found), name)] if name else []
