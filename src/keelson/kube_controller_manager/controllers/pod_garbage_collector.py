"""pod-garbage-collector-controller: removes pods that no kubelet will ever remove.

Reads: pods, nodes. Writes: pods (phase Failed, forced delete). Rules: Kubernetes documentation, "Pod Lifecycle"
("Garbage collection of Pods"): pods of vanished nodes, terminating pods that were never bound, and the oldest
finished pods beyond --terminated-pod-gc-threshold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions.pods import phase

log = logging.getLogger(__name__)

_PERIOD = 20.0
# How long a pod's node must have been unknown to us, so that a node just registered is not taken for gone.
_QUARANTINE = 40.0


class PodGarbageCollector:
    """A sweep every 20 s."""

    name = "pod-garbage-collector-controller"
    account = "pod-garbage-collector"

    def __init__(self, context: Context, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._client = context.client
        self._monotonic = monotonic
        self._pods = context.informers.informer("pods")
        self._nodes = context.informers.informer("nodes")
        self._missing: dict[str, float] = {}

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self._sweep()
            except errors.StatusError as error:
                log.warning("%s: %s", self.name, error.message)
            await asyncio.sleep(_PERIOD)

    async def _sweep(self) -> None:
        finished = []
        bound: set[str] = set()
        for pod in self._pods.store:
            node = pod["spec"].get("nodeName") or ""
            if node and self._nodes.store.get(node) is None:
                bound.add(node)
                if self._is_gone(node) and await self._has_no_node(node):
                    await self._collect(pod)
            elif not node and meta.is_deleting(pod):
                await self._collect(pod)
            elif phase(pod) in {"Succeeded", "Failed"} and not meta.is_deleting(pod):
                finished.append(pod)
        self._missing = {name: since for name, since in self._missing.items() if name in bound}
        threshold = self._context.settings.terminated_pod_gc_threshold
        if 0 < threshold < len(finished):
            finished.sort(key=lambda pod: str(meta.metadata(pod).get("creationTimestamp") or ""))
            for pod in finished[: len(finished) - threshold]:
                await self._collect(pod)

    def _is_gone(self, node: str) -> bool:
        return self._monotonic() - self._missing.setdefault(node, self._monotonic()) >= _QUARANTINE

    async def _has_no_node(self, name: str) -> bool:
        try:
            await self._client.get("nodes", name)
        except errors.StatusError as error:
            if error.code == 404:
                return True
            raise
        return False

    async def _collect(self, pod: Object) -> None:
        namespace, name = meta.namespace(pod), meta.name(pod)
        try:
            if phase(pod) not in {"Succeeded", "Failed"}:
                patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"phase": "Failed", "reason": "PodGC"}}
                await self._client.patch("pods", name, patch, namespace=namespace, subresource="status")
            await self._client.delete("pods", name, namespace=namespace, uid=meta.uid(pod), grace_period_seconds=0)
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise
