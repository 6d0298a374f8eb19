"""NodeResourcesFit: what the pod requests is free on the node; the emptier node is the better one (LeastAllocated)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot

NAME = "NodeResourcesFit"
_SCORED = ("cpu", "memory")


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[tuple[Mask, str]]:  # noqa: A001 - the extension point's name
    """Room for one pod more, and for each of its requests."""
    pods = snapshot.resources["pods"]
    yield snapshot.requested[:, pods] + 1 <= snapshot.allocatable[:, pods], "Too many pods"
    for resource, value in pod.requests.items():
        if value:
            column = snapshot.column(resource)
            free = snapshot.allocatable[:, column] - snapshot.requested[:, column]
            yield value <= free, f"Insufficient {resource}"


def score(snapshot: Snapshot, pod: PodInfo, _feasible: Mask) -> Scores:
    """The mean free share of CPU and memory with the pod on the node."""
    total = np.zeros(snapshot.capacity)
    for resource in _SCORED:
        column = snapshot.resources[resource]
        allocatable = snapshot.allocatable[:, column]
        wanted = snapshot.scored[:, column] + pod.scoring_requests.get(resource, 0)
        share = np.divide(allocatable - wanted, allocatable, out=np.zeros(snapshot.capacity), where=allocatable > 0)
        total += np.clip(share, 0.0, 1.0)
    return total * (100.0 / len(_SCORED))
