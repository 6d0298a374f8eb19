"""replicaset-controller: as many pods as a ReplicaSet asks for; and its elder, replicationcontroller-controller.

Reads: replicasets.apps or replicationcontrollers, pods. Writes: pods (create, delete, adopt, release), their status,
events. The two kinds differ in nothing but how they state a selector.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import pods, replica_sets
from keelson.kube_controller_manager.owned_pods import OwnedPods, enqueue_owner


class ReplicaSetController:
    """One reconcile per set; level-triggered by the set and its pods."""

    name = "replicaset-controller"
    account = "replicaset-controller"
    resource = "replicasets.apps"
    kind = "ReplicaSet"
    queue = "replicaset"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue = WorkQueue(self.queue)
        self._sets = context.informers.informer(self.resource)
        self._sets.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        pod_informer = context.informers.informer("pods")
        self._pods = OwnedPods(context.client, pod_informer, context.recorder(self.name))
        enqueue_owner(self._queue, self._sets, self.kind, pod_informer)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    async def _reconcile(self, key: str) -> float | None:
        replica_set = self._sets.store.get(key)
        if replica_set is None:
            return None
        owned = await self._pods.claim(replica_set)
        plan = replica_sets.plan(replica_set, owned, self._context.now())
        failure = ""
        if plan.create:
            fresh = [pods.from_template(replica_set["spec"]["template"], replica_set) for _ in range(plan.create)]
            failure = await self._pods.create(replica_set, fresh)
        elif plan.delete:
            failure = await self._pods.delete(replica_set, plan.delete)
        if plan.create or plan.delete:
            owned = await self._pods.claim(replica_set)
        status = replica_sets.status(replica_set, owned, self._context.now(), failure=failure)
        if status != replica_set.get("status"):
            await self._context.client.update_status(self.resource, {**replica_set, "status": status})
        if failure:
            # Raised, so that the queue waits longer each time and does not ask as fast as the server refuses.
            raise errors.unavailable(failure)
        return plan.look_again


class ReplicationControllerController(ReplicaSetController):
    """The same for the kind that ReplicaSets came from."""

    name = "replicationcontroller-controller"
    account = "replication-controller"
    resource = "replicationcontrollers"
    kind = "ReplicationController"
    queue = "replicationmanager"
