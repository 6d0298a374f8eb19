"""node-ipam-controller: gives each node its pod network (--allocate-node-cidrs).

Reads: nodes. Writes: nodes (spec.podCIDR, spec.podCIDRs), events.
"""

from __future__ import annotations

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import cidrs


class NodeIpamController:
    """A single worker: two nodes never get the same network."""

    name = "node-ipam-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._recorder = context.recorder(self.name)
        self._queue = WorkQueue("cidrallocator_node")
        self._nodes = context.informers.informer("nodes")
        self._nodes.add_handler(self._changed)
        # Given by us and perhaps not yet seen in the informer.
        self._given: dict[str, list[str]] = {}

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and not (new.get("spec") or {}).get("podCIDR"):
            self._queue.add(meta.name(new))

    async def run(self) -> None:
        """Allocate until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, name: str) -> float | None:
        node = self._nodes.store.get(name)
        if node is None or (node.get("spec") or {}).get("podCIDR") or name in self._given:
            return None
        settings = self._context.settings
        self._given = {known: given for known, given in self._given.items() if self._nodes.store.get(known)}
        seen = [text for one in self._nodes.store for text in (one.get("spec") or {}).get("podCIDRs") or []]
        used = cidrs.taken([*seen, *(text for given in self._given.values() for text in given)])
        try:
            fresh = cidrs.for_node(settings.cluster_cidrs, settings.node_cidr_mask_sizes, used)
        except cidrs.ExhaustedError as error:
            self._recorder.event(node, "Normal", "CIDRNotAvailable", f"Node {name} status is now: {error}")
            return 30.0
        self._given[name] = fresh
        try:
            patch = {
                "metadata": {"uid": meta.uid(node)},
                "spec": {"podCIDR": fresh[0], "podCIDRs": fresh},
            }
            await self._context.client.patch("nodes", name, patch)
        except BaseException:
            del self._given[name]
            raise
        return None
