"""node-lifecycle-controller: notices nodes that fell silent, and says so in conditions, taints and their pods' status.

Reads: nodes, leases in kube-node-lease, pods. Writes: nodes (taints), nodes/status, pods/status, events.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import node_lifecycle

log = logging.getLogger(__name__)


class NodeLifecycleController:
    """Silence is measured on our own clock from when a heartbeat was seen to change; hosts' clocks may differ."""

    name = "node-lifecycle-controller"
    account = "node-controller"

    def __init__(self, context: Context, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder(self.name)
        self._monotonic = monotonic
        self._queue = WorkQueue("node_lifecycle_controller")
        self._nodes = context.informers.informer("nodes")
        self._leases = context.informers.informer("leases.coordination.k8s.io", namespace="kube-node-lease")
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index("node", lambda pod: [str((pod.get("spec") or {}).get("nodeName") or "")])
        self._nodes.add_handler(self._changed)
        # (heartbeat, when it was first seen) by node.
        self._seen: dict[str, tuple[tuple[str, str], float]] = {}

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(meta.name(new))

    async def run(self) -> None:
        """Look at every node each monitor period, and at once when one changes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(work(self.name, self._queue, self._reconcile, workers=4))
            while True:
                for key in self._nodes.store.keys():  # noqa: SIM118 - the store is no mapping
                    self._queue.add(key)
                await asyncio.sleep(self._context.settings.node_monitor_period)

    def _silent_for(self, node: Object) -> float:
        name = meta.name(node)
        beat = node_lifecycle.heartbeat(node, self._leases.store.get(meta.key_of("kube-node-lease", name)))
        known = self._seen.get(name)
        if known is None or known[0] != beat:
            known = self._seen[name] = (beat, self._monotonic())
        return self._monotonic() - known[1]

    def _all_silent(self) -> bool:
        nodes = list(self._nodes.store)
        return len(nodes) > 1 and all(
            (meta.condition(node, "Ready") or {}).get("status") == "Unknown" for node in nodes
        )

    async def _reconcile(self, name: str) -> float | None:
        node = self._nodes.store.get(name)
        if node is None:
            self._seen.pop(name, None)
            return None
        now = self._context.now()
        if self._silent_for(node) >= self._context.settings.node_monitor_grace_period:
            conditions = node_lifecycle.silent_conditions(node, now)
            if conditions is not None:
                log.warning("node %s fell silent", name)
                status = {**(node.get("status") or {}), "conditions": conditions}
                node = await self._client.update_status("nodes", {**node, "status": status})
                self._recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        taints = node_lifecycle.taints(node, now, evict=not self._all_silent())
        if taints is not None:
            patch = {
                "metadata": {"resourceVersion": meta.resource_version(node)},
                "spec": {"taints": taints or None},
            }
            node = await self._client.patch("nodes", name, patch)
        if not meta.condition_is(node, "Ready"):
            await self._mark_pods(name)
        return None

    async def _mark_pods(self, node: str) -> None:
        """Take the node's pods out of their services: nobody can tell any more that they are ready."""
        now = self._context.now()
        for pod in self._pods.store.by_index("node", node):
            if not meta.condition_is(pod, "Ready"):
                continue
            conditions = meta.with_condition(
                meta.conditions(pod), type_="Ready", status="False", reason="NodeNotReady", now=now
            )
            try:
                await self._client.update_status("pods", {**pod, "status": {**pod["status"], "conditions": conditions}})
            except errors.StatusError as error:
                if error.code not in {404, 409}:
                    raise
