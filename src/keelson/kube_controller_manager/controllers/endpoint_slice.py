"""endpointslice-controller: the pods behind each Service that has a selector.

Reads: services, pods, nodes, endpointslices.discovery.k8s.io. Writes: endpointslices.
"""

from __future__ import annotations

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import endpoint_slices
from keelson.kube_controller_manager.own_writes import OwnWrites

SLICES = "endpointslices.discovery.k8s.io"


class EndpointSliceController:
    """One reconcile per service; a pod queues the services of its namespace that select it."""

    name = "endpointslice-controller"
    account = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue()
        self._services = context.informers.informer("services")
        self._services.store.add_index("namespace", lambda obj: [meta.namespace(obj)])
        self._services.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index("all-of-namespace", lambda obj: [meta.namespace(obj)])
        self._pods.add_handler(self._pod_changed)
        self._nodes = context.informers.informer("nodes")
        self._slices = context.informers.informer(SLICES)
        self._slices.store.add_index("service", _service_of)
        self._slices.add_handler(self._slice_changed)
        self._writes = OwnWrites(self._slices)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        namespace = meta.namespace(new or old or {})
        for service in self._services.store.by_index("namespace", namespace):
            selector = service["spec"].get("selector")
            if not selector:
                continue
            wanted = selectors.from_label_selector({"matchLabels": selector})
            if any(obj is not None and wanted.matches(meta.labels(obj)) for obj in (old, new)):
                self._queue.add(meta.key(service))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            for key in _service_of(obj) if obj is not None else []:
                self._queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.store.get(key)
        # A deleted service's slices go by garbage collection.
        if service is None or meta.is_deleting(service) or not service["spec"].get("selector"):
            return None
        if service["spec"].get("type") == "ExternalName":
            return None
        wanted = selectors.from_label_selector({"matchLabels": service["spec"]["selector"]})
        selected = [
            pod
            for pod in self._pods.store.by_index("all-of-namespace", meta.namespace(service))
            if wanted.matches(meta.labels(pod))
        ]
        nodes = {meta.name(node): node for node in self._nodes.store}
        seen = self._writes.over(self._slices.store.by_index("service", key), lambda found: _service_of(found) == [key])
        plan = endpoint_slices.plan(service, selected, nodes, seen)
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
