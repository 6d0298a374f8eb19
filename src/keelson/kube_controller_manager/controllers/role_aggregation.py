"""clusterrole-aggregation-controller: aggregated ClusterRoles hold the rules of the ones that they choose by label.

Reads: clusterroles. Writes: clusterroles (rules).
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import role_aggregations

_RESOURCE = "clusterroles.rbac.authorization.k8s.io"


class RoleAggregationController:
    """One reconcile per aggregated role. Any role may become part of any of them, so each change asks all."""

    name = "clusterrole-aggregation-controller"
    account = "clusterrole-aggregation-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("ClusterRoleAggregator")
        self._roles = context.informers.informer(_RESOURCE)
        self._roles.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        for role in self._roles.store:
            if role.get("aggregationRule"):
                self._queue.add(meta.name(role))

    async def _reconcile(self, name: str) -> float | None:
        role = self._roles.store.get(name)
        if role is None or not role.get("aggregationRule"):
            return None
        wanted = role_aggregations.rules(role, self._roles.store)
        if wanted == (role.get("rules") or []):
            return None
        try:
            await self._client.update(_RESOURCE, {**role, "rules": wanted})
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return None
