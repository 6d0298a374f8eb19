"""ttl-controller: tells kubelets how long they may keep Secrets and ConfigMaps, by the size of the cluster.

Reads: nodes. Writes: the annotation node.alpha.kubernetes.io/ttl of nodes, in seconds.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

ANNOTATION = "node.alpha.kubernetes.io/ttl"
# (least, most, seconds): a step is left upwards above `most` and downwards below `least`, so that a cluster at the edge
# of two does not go to and fro.
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31 - 1, 300))


def step_of(nodes: int, step: int) -> int:
    """The step for so many nodes, coming from `step`."""
    while nodes > _STEPS[step][1]:
        step += 1
    while nodes < _STEPS[step][0]:
        step -= 1
    return step


class NodeTtlController:
    """One reconcile per node; all of them when the cluster's size crosses a step."""

    name = "ttl-controller"
    account = "ttl-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("ttlcontroller")
        self._step = 0
        self._nodes = context.informers.informer("nodes")
        self._nodes.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            step = step_of(len(self._nodes.store), self._step)
            if step != self._step:
                self._step = step
                for key in self._nodes.store.keys():  # noqa: SIM118 - the store is no mapping
                    self._queue.add(key)
        if new is not None:
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        node = self._nodes.store.get(key)
        wanted = str(_STEPS[self._step][2])
        if node is None or meta.annotations(node).get(ANNOTATION) == wanted:
            return None
        patch = {"metadata": {"uid": meta.uid(node), "annotations": {ANNOTATION: wanted}}}
        try:
            await self._client.patch("nodes", key, patch)
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise
        return None
