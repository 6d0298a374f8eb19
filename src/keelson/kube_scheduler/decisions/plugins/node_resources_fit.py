"""NodeResourcesFit: what the pod requests is free on the node; the emptier node is the better one (LeastAllocated)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Amounts, Mask, Scores, Snapshot

NAME = "NodeResourcesFit"
_SCORED = ("cpu", "memory")
_FULL = "Too many pods"


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """Room for one pod more, and for each of its requests."""
    lacking = _lacking(snapshot, pod, 0)
    passing = snapshot.valid.copy()
    for resource, value in pod.requests.items():
        if value:
            # More than the whole node: nobody who leaves makes room for it.
            passing &= value <= snapshot.allocatable[:, snapshot.resources[resource]]
    yield Verdict(passing, lacking, resolvable=False)
    yield _verdict(snapshot, lacking)


def without(snapshot: Snapshot, pod: PodInfo, gone: Amounts) -> Verdict:
    """The filter on nodes that what `gone` says has left (rows and columns as in the snapshot)."""
    return _verdict(snapshot, _lacking(snapshot, pod, gone))


def _lacking(snapshot: Snapshot, pod: PodInfo, gone: Amounts | int) -> dict[str, Mask]:
    """By reason the nodes that have too little."""
    free = snapshot.allocatable - snapshot.requested + gone
    found: dict[str, Mask] = {_FULL: free[:, snapshot.resources["pods"]] < 1}
    for resource, value in pod.requests.items():
        if value:
            found[f"Insufficient {resource}"] = value > free[:, snapshot.resources[resource]]
    return found


def _verdict(snapshot: Snapshot, lacking: dict[str, Mask]) -> Verdict:
    passing = snapshot.valid.copy()
    for rows in lacking.values():
        passing &= ~rows
    return Verdict(passing, lacking)


class _Trial:
    """The room on one node at a time, as plain integers."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo) -> None:
        self._snapshot = snapshot
        self._wanted = [(resource, value) for resource, value in pod.requests.items() if value]
        self._columns = [snapshot.resources[resource] for resource, _ in self._wanted]
        self._row = -1
        self._pods = 0
        self._free: list[int] = []

    def _look_at(self, row: int) -> None:
        snapshot = self._snapshot
        self._row = row
        free = snapshot.allocatable[row] - snapshot.requested[row]
        self._pods = int(free[snapshot.resources["pods"]])
        # Of each resource how much is free beyond what the pod wants.
        self._free = [int(free[column]) - value for column, (_, value) in zip(self._columns, self._wanted, strict=True)]

    def move(self, other: PodInfo, row: int, sign: int) -> None:
        if row != self._row:
            self._look_at(row)
        self._pods -= sign
        for index, (resource, _) in enumerate(self._wanted):
            self._free[index] -= sign * other.requests.get(resource, 0)

    def refusal(self, row: int) -> str:
        if row != self._row:
            self._look_at(row)
        if self._pods < 1:
            return _FULL
        for (resource, _), free in zip(self._wanted, self._free, strict=True):
            if free < 0:
                return f"Insufficient {resource}"
        return ""


def trial(snapshot: Snapshot, pod: PodInfo) -> _Trial:
    """The filter, node by node."""
    return _Trial(snapshot, pod)


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
