"""endpoints-controller: the Endpoints of each Service that has a selector.

Reads: services, pods, endpoints. Writes: endpoints.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import endpoints
from keelson.kube_controller_manager.own_writes import OwnWrites
from keelson.kube_controller_manager.service_pods import ServicePods, is_followed

RESOURCE = "endpoints"


class EndpointController:
    """One reconcile per service; a pod queues the services of its namespace that select it."""

    name = "endpoints-controller"
    account = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("endpoint")
        self._pods = ServicePods(context, self._queue)
        self._endpoints = context.informers.informer(RESOURCE)
        self._endpoints.add_handler(self._endpoints_changed)
        self._writes = OwnWrites(self._endpoints)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        # What a service left behind that went while nobody looked.
        for key in self._endpoints.store.keys():  # noqa: SIM118 - the store is no mapping
            self._queue.add(key)
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _endpoints_changed(self, old: Object | None, new: Object | None) -> None:
        key = meta.key(new or old or {})
        # Those that never had a service are somebody's own.
        if self._pods.service(key) is not None:
            self._queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        service = self._pods.service(key)
        found = self._endpoints.store.get(key)
        seen = self._writes.over([found] if found is not None else [], lambda obj: meta.key(obj) == key)
        current = seen[0] if seen else None
        if service is None:
            if current is not None and endpoints.LEADER not in meta.annotations(current):
                await self._delete(current)
            return None
        if not is_followed(service):
            return None
        wanted = endpoints.wanted(service, self._pods.of(service), current)
        if wanted is None:
            return None
        if current is None:
            self._writes.created(await self._client.create(RESOURCE, wanted))
        else:
            self._writes.created(await self._client.update(RESOURCE, wanted))
        return None

    async def _delete(self, found: Object) -> None:
        try:
            await self._client.delete(RESOURCE, meta.name(found), namespace=meta.namespace(found), uid=meta.uid(found))
        except errors.StatusError as error:
            if error.code != 404:
                raise
        self._writes.deleted(found)
