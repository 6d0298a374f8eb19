"""deployment-controller: rollouts, by creating and sizing ReplicaSets.

Reads: deployments.apps, replicasets.apps, pods. Writes: replicasets, deployments (revision annotation) and
deployments/status, events.
"""

from __future__ import annotations

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import deployments
from keelson.kube_controller_manager.decisions.pods import phase
from keelson.kube_controller_manager.own_writes import OwnWrites
from keelson.kube_controller_manager.owned_pods import BY_OWNER, index, owner_uid

RESOURCE = "deployments.apps"
SETS = "replicasets.apps"


class DeploymentController:
    """One step of the rollout per reconcile; the sets' changes bring the next."""

    name = "deployment-controller"
    account = "deployment-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("deployment")
        self._deployments = context.informers.informer(RESOURCE)
        self._sets = context.informers.informer(SETS)
        self._pods = context.informers.informer("pods")
        index(self._sets)
        index(self._pods)
        self._writes = OwnWrites(self._sets)
        self._deployments.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is None:
                continue
            owner = meta.controller_of(obj)
            if owner is not None and owner["kind"] == "Deployment":
                self._queue.add(meta.key_of(meta.namespace(obj), owner["name"]))
            elif owner is None and obj is new:
                for found in self._deployments.store:
                    if meta.namespace(found) == meta.namespace(obj) and _selects(found, obj):
                        self._queue.add(meta.key(found))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        # Only a Recreate waits for pods; a rolling update follows the sets' status.
        if new is not None or old is None:
            return
        owner = meta.controller_of(old)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        found = self._sets.store.get(meta.key_of(meta.namespace(old), owner["name"]))
        if found is not None:
            self._set_changed(None, found)

    async def _claim(self, deployment: Object) -> list[Object]:
        uid = meta.uid(deployment)
        owned = self._writes.over(self._sets.store.by_index(BY_OWNER, uid), lambda s: owner_uid(s) == [uid])
        if meta.is_deleting(deployment):
            return owned
        for found in self._sets.store.by_index("namespace", meta.namespace(deployment)):
            if not meta.is_deleting(found) and _selects(deployment, found):
                owners = [*meta.owners(found), meta.owner_reference(deployment)]
                patch = {"metadata": {"uid": meta.uid(found), "ownerReferences": owners}}
                owned.append(await self._client.patch(SETS, meta.name(found), patch, namespace=meta.namespace(found)))
        return owned

    async def _reconcile(self, key: str) -> float | None:
        deployment = self._deployments.store.get(key)
        if deployment is None:
            return None
        sets = await self._claim(deployment)
        if not meta.is_deleting(deployment):
            plan = deployments.plan(deployment, sets, old_pods_running=self._old_pods_running(deployment, sets))
            deployment = await self._carry_out(deployment, sets, plan)
            sets = await self._claim(deployment)
        status, look_again = deployments.status(deployment, sets, self._context.now())
        if status != deployment.get("status"):
            await self._client.update_status(RESOURCE, {**deployment, "status": status})
        return look_again

    def _old_pods_running(self, deployment: Object, sets: list[Object]) -> bool:
        new = deployments.current(deployment, sets)
        return any(
            phase(pod) not in {"Succeeded", "Failed"}
            for found in sets
            if found is not new
            for pod in self._pods.store.by_index(BY_OWNER, meta.uid(found))
        )

    async def _carry_out(self, deployment: Object, sets: list[Object], plan: deployments.Plan) -> Object:
        by_name = {meta.name(found): found for found in sets}
        if plan.create is not None:
            deployment = await self._create(deployment, plan.create)
        for name in {*plan.scale, *plan.annotate}:
            found = by_name[name]
            patch: Object = {"metadata": {"resourceVersion": meta.resource_version(found)}}
            if name in plan.annotate:
                patch["metadata"]["annotations"] = plan.annotate[name]
            if name in plan.scale:
                patch["spec"] = {"replicas": plan.scale[name]}
            await self._client.patch(SETS, name, patch, namespace=meta.namespace(found))
            if name in plan.scale:
                self._tell_scaled(deployment, found, plan.scale[name])
        for name in plan.delete:
            await self._client.delete(SETS, name, namespace=meta.namespace(deployment), uid=meta.uid(by_name[name]))
        if plan.revision and meta.annotations(deployment).get(deployments.REVISION) != plan.revision:
            annotations = {**meta.annotations(deployment), deployments.REVISION: plan.revision}
            head = {**deployment["metadata"], "annotations": annotations}
            deployment = await self._client.update(RESOURCE, {**deployment, "metadata": head})
        return deployment

    def _tell_scaled(self, deployment: Object, found: Object, size: int) -> None:
        before = deployments.replicas(found)
        verb = "up" if size > before else "down"
        self._recorder.event(
            deployment,
            "Normal",
            "ScalingReplicaSet",
            f"Scaled {verb} replica set {meta.name(found)} from {before} to {size}",
        )

    async def _create(self, deployment: Object, fresh: Object) -> Object:
        try:
            created = await self._client.create(SETS, fresh)
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            existing = await self._client.get(SETS, meta.name(fresh), namespace=meta.namespace(fresh))
            if owner_uid(existing) == [meta.uid(deployment)] and deployments.current(deployment, [existing]):
                # Another instance, or we ourselves before a crash, created it.
                self._writes.created(existing)
                return deployment
            # Another template has this hash: count the collision, so that the next turn takes another name.
            status = dict(deployment.get("status") or {})
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
            return await self._client.update_status(RESOURCE, {**deployment, "status": status})
        self._writes.created(created)
        self._recorder.event(
            deployment,
            "Normal",
            "ScalingReplicaSet",
            f"Scaled up replica set {meta.name(created)} from 0 to {deployments.replicas(created)}",
        )
        return deployment


def _selects(deployment: Object, obj: Object) -> bool:
    return selectors.from_label_selector(deployment["spec"].get("selector")).matches(meta.labels(obj))
