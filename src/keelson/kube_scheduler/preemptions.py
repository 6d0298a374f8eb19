"""How victims of a preemption are told and removed, through the API.

Reads: pods. Writes: pods (delete, DisruptionTarget condition, nominatedNodeName), events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.events import Recorder
from keelson.client.informers import Store
from keelson.client.rest import STRATEGIC_PATCH, Client
from keelson.component_base import metrics

from .decisions.pods import PREEMPTED, PodInfo

log = logging.getLogger(__name__)

# Victims of one preemption that are written at once (upstream's parallelism).
_AT_ONCE = 16

ATTEMPTS = metrics.counter("scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now")
VICTIMS = metrics.histogram(
    "scheduler_preemption_victims", "Number of selected preemption victims", buckets=(1, 2, 4, 8, 16, 32, 64)
)


class Executor:
    """Makes preemptions that were decided happen."""

    def __init__(self, client: Client, recorder: Recorder, pods: Store, *, now: Callable[[], datetime]) -> None:
        self._client = client
        self._recorder = recorder
        self._pods = pods
        self._now = now

    async def preempt(self, pod: Object, node: str, victims: Sequence[PodInfo], outdone: Sequence[PodInfo]) -> bool:
        """Delete the victims for a pod, and end the nominations of the pods `outdone` for the node.

        False where an API call failed, which is logged; then the pod should try again soon.
        """
        VICTIMS.observe(len(victims))
        slots = asyncio.Semaphore(_AT_ONCE)

        async def guarded(victim: PodInfo) -> bool:
            async with slots:
                return await self._remove(pod, node, victim)

        results = await asyncio.gather(
            *(self._end_nomination(other) for other in outdone), *(guarded(victim) for victim in victims)
        )
        return all(results)

    async def _remove(self, pod: Object, node: str, victim: PodInfo) -> bool:
        current = self._pods.get(victim.key)
        if current is None or meta.uid(current) != victim.uid or meta.is_deleting(current):
            # Gone, or on its way: room is made without us.
            return True
        scheduler = pod["spec"].get("schedulerName") or "default-scheduler"
        known = {"type": "DisruptionTarget", "status": "True", "reason": PREEMPTED}
        conditions = meta.with_condition(
            meta.conditions(current),
            type_=known["type"],
            status=known["status"],
            reason=PREEMPTED,
            message=f"{scheduler}: preempting to accommodate a higher priority pod",
            now=self._now(),
        )
        wanted = next(found for found in conditions if found["type"] == known["type"])
        try:
            # The condition first (KEP-3329): whoever sees the pod end sees why.
            if wanted != meta.condition(current, known["type"]):
                await self._patch_status(victim, {"conditions": [wanted]})
            await self._client.delete("pods", meta.name(current), namespace=victim.namespace, uid=victim.uid)
        except errors.StatusError as error:
            if error.code in {404, 409}:
                return True
            log.warning("preempting %s for %s: %s", victim.key, meta.key(pod), error.message)
            return False
        log.info("preempted %s on %s for %s", victim.key, node, meta.key(pod))
        self._recorder.event(
            current,
            "Normal",
            "Preempted",
            f"Preempted by pod {meta.uid(pod)} on node {node}",
            related=pod,
            action="Preempting",
        )
        return True

    async def _end_nomination(self, other: PodInfo) -> bool:
        try:
            await self._patch_status(other, {"nominatedNodeName": None})
        except errors.StatusError as error:
            # It may keep the name: nobody counts on it any more, and its next attempt writes anew.
            log.info("nomination of %s not ended: %s", other.key, error.message)
        return True

    async def _patch_status(self, pod: PodInfo, status: Object) -> None:
        await self._client.patch(
            "pods",
            pod.key.rpartition("/")[2],
            {"metadata": {"uid": pod.uid}, "status": status},
            namespace=pod.namespace,
            subresource="status",
            kind=STRATEGIC_PATCH,
        )
