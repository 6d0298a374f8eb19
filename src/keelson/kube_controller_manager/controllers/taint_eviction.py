"""taint-eviction-controller: deletes pods from nodes with NoExecute taints once their tolerations run out (KEP-3902).

Reads: nodes, pods. Writes: pods (delete, DisruptionTarget condition), events.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import node_lifecycle


class TaintEvictionController:
    """One reconcile per pod on a tainted node; it is looked at again when its toleration ends."""

    name = "taint-eviction-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("noexec_taint_pod")
        self._nodes = context.informers.informer("nodes")
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index("node", lambda pod: [str((pod.get("spec") or {}).get("nodeName") or "")])
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=4)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or (old is not None and _no_execute(old) == _no_execute(new)):
            return
        for pod in self._pods.store.by_index("node", meta.name(new)):
            self._queue.add(meta.key(pod))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or not old["spec"].get("nodeName")) and new["spec"].get("nodeName"):
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        if pod is None or meta.is_deleting(pod):
            return None
        node = self._nodes.store.get(pod["spec"].get("nodeName") or "")
        if node is None:
            return None
        now = self._context.now()
        moment = node_lifecycle.eviction_time(pod, node, now)
        if moment is None:
            return None
        if moment > now:
            return (moment - now).total_seconds()
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        conditions = meta.with_condition(
            meta.conditions(pod),
            type_="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            now=now,
        )
        try:
            await self._client.update_status(
                "pods", {**pod, "status": {**(pod.get("status") or {}), "conditions": conditions}}
            )
            await self._client.delete("pods", meta.name(pod), namespace=meta.namespace(pod), uid=meta.uid(pod))
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return None


def _no_execute(node: Object) -> list[Object]:
    return [taint for taint in (node.get("spec") or {}).get("taints") or [] if taint.get("effect") == "NoExecute"]
