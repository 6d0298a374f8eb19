"""NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory fill evenly."""

from __future__ import annotations

import numpy as np

from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot

NAME = "NodeResourcesBalancedAllocation"
_BALANCED = ("cpu", "memory")


def score(snapshot: Snapshot, pod: PodInfo, _feasible: Mask) -> Scores | None:
    """100 less the spread (standard deviation) of the used shares. A best-effort pod changes no balance."""
    if not any(pod.requests.get(resource) for resource in _BALANCED):
        return None
    shares = []
    for resource in _BALANCED:
        column = snapshot.resources[resource]
        allocatable = snapshot.allocatable[:, column]
        used = snapshot.requested[:, column] + pod.requests.get(resource, 0)
        shares.append(np.divide(used, allocatable, out=np.ones(snapshot.capacity), where=allocatable > 0))
    points: Scores = (1.0 - np.std(np.clip(np.stack(shares), 0.0, 1.0), axis=0)) * 100.0
    return points
