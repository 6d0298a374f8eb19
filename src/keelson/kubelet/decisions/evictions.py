"""Node pressure: which resources are short, and which pod is to go first. Rules: "Node-pressure Eviction"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from keelson.api import meta
from keelson.api.meta import Object

from .node_objects import threshold
from .resource_limits import pod_requests

# Signal to (condition, resource by which pods are ranked).
_SIGNALS = {
    "memory.available": ("MemoryPressure", "memory"),
    "nodefs.available": ("DiskPressure", "ephemeral-storage"),
    "nodefs.inodesFree": ("DiskPressure", "ephemeral-storage"),
    "imagefs.available": ("DiskPressure", "ephemeral-storage"),
    "imagefs.inodesFree": ("DiskPressure", "ephemeral-storage"),
    "pid.available": ("PIDPressure", "pids"),
}
_CRITICAL_PRIORITY = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A signal below its threshold; amounts in the signal's unit."""

    signal: str
    condition: str
    resource: str
    available: int
    least: int


def shortages(available: Mapping[str, tuple[int, int]], thresholds: Mapping[str, str]) -> list[Shortage]:
    """The signals that are short. `available` gives (what is left, the whole) by signal."""
    found = []
    for signal, text in thresholds.items():
        if signal not in _SIGNALS or signal not in available:
            continue
        left, whole = available[signal]
        least = int(threshold(text, Decimal(whole)))
        if left < least:
            condition, resource = _SIGNALS[signal]
            found.append(Shortage(signal=signal, condition=condition, resource=resource, available=left, least=least))
    return found


def victim(pods: Iterable[Object], resource: str, usage: Mapping[str, int]) -> Object | None:
    """The pod to evict: first those above their request, then by priority, then by how far above. Critical ones never.

    `usage` is by UID, in bytes; a pod that is not in it counts as using nothing.
    """

    def rank(pod: Object) -> tuple[bool, int, Decimal]:
        used = Decimal(usage.get(meta.uid(pod), 0))
        above = used - pod_requests(pod).get(resource, Decimal(0))
        return (above <= 0, int(pod["spec"].get("priority") or 0), -above)

    candidates = [
        pod for pod in pods if (pod["spec"].get("priority") or 0) < _CRITICAL_PRIORITY and not meta.is_deleting(pod)
    ]
    return min(candidates, key=rank, default=None)


def message(shortage: Shortage) -> str:
    """What an evicted pod's status says."""
    unit = "" if shortage.signal.endswith(("inodesFree", "pid.available")) else "Ki"
    scale = 1024 if unit else 1
    return (
        f"The node was low on resource: {shortage.resource}. Threshold quantity: {shortage.least // scale}{unit}, "
        f"available: {shortage.available // scale}{unit}. "
    )
