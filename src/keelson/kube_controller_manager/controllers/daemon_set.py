"""daemonset-controller: one pod on every node that a DaemonSet selects.

Reads: daemonsets.apps, pods, nodes, controllerrevisions.apps. Writes: pods, controllerrevisions, daemonsets/status.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import daemon_sets
from keelson.kube_controller_manager.owned_pods import BY_OWNER, OwnedPods, enqueue_owner, index

RESOURCE = "daemonsets.apps"
REVISIONS = "controllerrevisions.apps"


class DaemonSetController:
    """One reconcile per set; nodes' labels, taints and readiness queue all sets."""

    name = "daemonset-controller"
    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue("daemonset")
        self._sets = context.informers.informer(RESOURCE)
        self._sets.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._nodes = context.informers.informer("nodes")
        self._nodes.add_handler(self._node_changed)
        self._revisions = context.informers.informer(REVISIONS)
        index(self._revisions)
        pod_informer = context.informers.informer("pods")
        self._pods = OwnedPods(context.client, pod_informer, context.recorder(self.name))
        enqueue_owner(self._queue, self._sets, "DaemonSet", pod_informer)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=2)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        # A heartbeat changes neither labels nor taints; only those decide where daemons run.
        if (
            old is not None
            and new is not None
            and meta.labels(old) == meta.labels(new)
            and (old.get("spec") or {}).get("taints") == (new.get("spec") or {}).get("taints")
        ):
            return
        for key in self._sets.store.keys():  # noqa: SIM118 - the store is no mapping
            self._queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        daemon_set = self._sets.store.get(key)
        if daemon_set is None:
            return None
        owned = await self._pods.claim(daemon_set)
        nodes = list(self._nodes.store)
        if not meta.is_deleting(daemon_set):
            await self._keep_revision(daemon_set)
        plan = daemon_sets.plan(daemon_set, owned, nodes, self._context.now())
        failure = ""
        if plan.delete:
            failure = await self._pods.delete(daemon_set, plan.delete)
        if plan.create and not failure:
            failure = await self._pods.create(
                daemon_set, [daemon_sets.pod_for(daemon_set, name) for name in plan.create]
            )
        if plan.create or plan.delete:
            owned = await self._pods.claim(daemon_set)
        status = daemon_sets.status(daemon_set, owned, nodes, self._context.now())
        if status != daemon_set.get("status"):
            await self._client.update_status(RESOURCE, {**daemon_set, "status": status})
        if failure:
            raise errors.unavailable(failure)
        return plan.look_again

    async def _keep_revision(self, daemon_set: Object) -> None:
        kept = sorted(
            self._revisions.store.by_index(BY_OWNER, meta.uid(daemon_set)), key=lambda found: int(found["revision"])
        )
        digest = daemon_sets.revision(daemon_set)
        newest = int(kept[-1]["revision"]) if kept else 0
        current = [found for found in kept if meta.labels(found).get(daemon_sets.REVISION_LABEL) == digest]
        if not current:
            try:
                await self._client.create(REVISIONS, daemon_sets.controller_revision(daemon_set, newest + 1))
            except errors.StatusError as error:
                # Our own creation that the informer has not shown yet.
                if error.reason != "AlreadyExists":
                    raise
        elif int(current[-1]["revision"]) < newest:
            patch = {"revision": newest + 1}
            await self._client.patch(REVISIONS, meta.name(current[-1]), patch, namespace=meta.namespace(daemon_set))
        limit = int(daemon_set["spec"].get("revisionHistoryLimit", 10))
        old = [found for found in kept if found not in current]
        for found in old[: max(len(old) - limit, 0)]:
            await self._client.delete(REVISIONS, meta.name(found), namespace=meta.namespace(found))
