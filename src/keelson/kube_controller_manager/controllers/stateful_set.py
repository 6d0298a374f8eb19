"""statefulset-controller: pods with a name, an order and storage of their own.

Reads: statefulsets.apps, pods, persistentvolumeclaims, controllerrevisions.apps. Writes: pods, claims (creation and
owners), controllerrevisions, statefulsets/status, events.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import revisions, stateful_sets
from keelson.kube_controller_manager.decisions.revisions import History
from keelson.kube_controller_manager.own_writes import OwnWrites
from keelson.kube_controller_manager.owned_pods import BY_OWNER, OwnedPods, enqueue_owner, index, owner_uid

RESOURCE = "statefulsets.apps"
REVISIONS = "controllerrevisions.apps"
CLAIMS = "persistentvolumeclaims"
_BY_NAMESPACE = "all-of-namespace"


class StatefulSetController:
    """One step a reconcile; the pods' and claims' changes bring the next."""

    name = "statefulset-controller"
    account = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("statefulset")
        self._sets = context.informers.informer(RESOURCE)
        self._sets.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._revisions = context.informers.informer(REVISIONS)
        index(self._revisions)
        self._revision_writes = OwnWrites(self._revisions)
        self._claims = context.informers.informer(CLAIMS)
        self._claims.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._claim_writes = OwnWrites(self._claims)
        pod_informer = context.informers.informer("pods")
        self._pods = OwnedPods(context.client, pod_informer, self._recorder)
        enqueue_owner(self._queue, self._sets, "StatefulSet", pod_informer)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    async def _reconcile(self, key: str) -> float | None:
        stateful_set = self._sets.store.get(key)
        if stateful_set is None:
            return None

        def is_member(pod: Object) -> bool:
            return stateful_sets.ordinal(stateful_set, pod) >= 0

        owned = await self._pods.claim(stateful_set, belongs=is_member)
        existing = await self._own_revisions(stateful_set)
        history = await self._history(stateful_set, existing)
        seen = self._claims.store.by_index(_BY_NAMESPACE, meta.namespace(stateful_set))
        namespace = meta.namespace(stateful_set)
        claims = {
            meta.name(claim): claim
            for claim in self._claim_writes.over(seen, lambda claim: meta.namespace(claim) == namespace)
        }
        plan = stateful_sets.plan(stateful_set, history, owned, claims, self._context.now())
        try:
            await self._carry_out(stateful_set, plan, claims)
        finally:
            if plan.status != stateful_set.get("status"):
                await self._client.update_status(RESOURCE, {**stateful_set, "status": plan.status})
        live = {meta.name(history.current), meta.name(history.update)}
        live |= {meta.labels(pod).get(stateful_sets.REVISION_LABEL, "") for pod in owned}
        limit = int(stateful_set["spec"].get("revisionHistoryLimit", 10))
        for old in revisions.surplus(existing, live, limit):
            await self._client.delete(REVISIONS, meta.name(old), namespace=namespace, uid=meta.uid(old))
            self._revision_writes.deleted(old)
        return plan.look_again

    async def _own_revisions(self, stateful_set: Object) -> list[Object]:
        uid = meta.uid(stateful_set)
        owned = self._revision_writes.over(
            self._revisions.store.by_index(BY_OWNER, uid), lambda found: owner_uid(found) == [uid]
        )
        if meta.is_deleting(stateful_set):
            return owned
        labels = (stateful_set["spec"]["selector"] or {}).get("matchLabels") or {}
        for found in self._revisions.store.by_index("namespace", meta.namespace(stateful_set)):
            carried = meta.labels(found)
            if labels and all(carried.get(name) == value for name, value in labels.items()):
                # Left by a set of this name that was deleted without its dependents.
                owners = [*meta.owners(found), meta.owner_reference(stateful_set)]
                patch = {"metadata": {"uid": meta.uid(found), "ownerReferences": owners}}
                adopted = await self._client.patch(REVISIONS, meta.name(found), patch, namespace=meta.namespace(found))
                self._revision_writes.created(adopted)
                owned.append(adopted)
        return owned

    async def _history(self, stateful_set: Object, existing: list[Object]) -> History:
        current = str((stateful_set.get("status") or {}).get("currentRevision") or "")
        history = revisions.history(stateful_set, existing, current)
        if meta.is_deleting(stateful_set):
            return history
        if history.create:
            existing.append(await self._create_revision(stateful_set, history.update))
        elif history.renumber:
            patch = {"revision": history.renumber}
            name = meta.name(history.update)
            changed = await self._client.patch(REVISIONS, name, patch, namespace=meta.namespace(stateful_set))
            self._revision_writes.created(changed)
        return history

    async def _create_revision(self, stateful_set: Object, fresh: Object) -> Object:
        try:
            created = await self._client.create(REVISIONS, fresh)
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            created = await self._client.get(REVISIONS, meta.name(fresh), namespace=meta.namespace(fresh))
            mine = owner_uid(created) == [meta.uid(stateful_set)]
            if not mine or revisions.template_of(created) != stateful_set["spec"]["template"]:
                # Another template has this hash: the next turn takes another name.
                status = dict(stateful_set.get("status") or {})
                status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
                await self._client.update_status(RESOURCE, {**stateful_set, "status": status})
                raise errors.conflict("controllerrevisions", meta.name(fresh), "its name is taken") from error
        self._revision_writes.created(created)
        return created

    async def _carry_out(self, stateful_set: Object, plan: stateful_sets.Plan, claims: dict[str, Object]) -> None:
        namespace = meta.namespace(stateful_set)
        for claim in plan.claims:
            await self._create_claim(stateful_set, claim)
        for pod in plan.create:
            await self._create_pod(stateful_set, pod, claims)
        for name, labels in plan.label.items():
            await self._client.patch("pods", name, {"metadata": {"labels": labels}}, namespace=namespace)
        for name, owners in plan.owners.items():
            # The role may update claims and not patch them; the version that was read goes along.
            claim = claims[name]
            head = {**claim["metadata"], "ownerReferences": owners}
            if not owners:
                del head["ownerReferences"]
            self._claim_writes.created(await self._client.update(CLAIMS, {**claim, "metadata": head}))
        for pod in plan.delete:
            await self._delete_pod(stateful_set, pod)

    async def _create_claim(self, stateful_set: Object, claim: Object) -> None:
        name = meta.name(stateful_set)
        try:
            self._claim_writes.created(await self._client.create(CLAIMS, claim))
        except errors.StatusError as error:
            if error.reason == "AlreadyExists":
                return
            why = f"create Claim {meta.name(claim)} for StatefulSet {name} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedCreate", why)
            raise
        why = f"create Claim {meta.name(claim)} in StatefulSet {name} success"
        self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", why)

    async def _create_pod(self, stateful_set: Object, pod: Object, claims: dict[str, Object]) -> None:
        name, own = meta.name(pod), f"StatefulSet {meta.name(stateful_set)}"
        mounted = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"].get("volumes") or ()
            if volume.get("persistentVolumeClaim")
        ]
        for claim in mounted:
            if claim in claims and meta.is_deleting(claims[claim]):
                why = f"create Pod {name} in {own} failed error: pvc {claim} is being deleted"
                self._recorder.event(stateful_set, "Warning", "FailedCreate", why)
                raise errors.unavailable(why)
        try:
            self._pods.created(await self._client.create("pods", pod))
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                why = f"create Pod {name} in {own} failed error: {error.message}"
                self._recorder.event(stateful_set, "Warning", "FailedCreate", why)
            raise
        why = f"create Pod {name} in {own} successful"
        self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", why)

    async def _delete_pod(self, stateful_set: Object, pod: Object) -> None:
        name, own = meta.name(pod), f"StatefulSet {meta.name(stateful_set)}"
        try:
            await self._client.delete("pods", name, namespace=meta.namespace(pod), uid=meta.uid(pod))
        except errors.StatusError as error:
            if error.code == 404:
                return
            why = f"delete Pod {name} in {own} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedDelete", why)
            raise
        self._recorder.event(stateful_set, "Normal", "SuccessfulDelete", f"delete Pod {name} in {own} successful")
