"""NodePorts: a host port is taken once per node and address."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Snapshot

NAME = "NodePorts"
_ANY = "0.0.0.0"  # noqa: S104 - the API's word for "every address"
_TAKEN = "node(s) didn't have free ports for the requested pod ports"


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """No pod on the node has one of the ports."""
    if not pod.ports:
        return
    passing = snapshot.valid.copy()
    for row in np.flatnonzero(snapshot.valid):
        passing[row] = not _clashing(snapshot, pod, int(row))
    yield Verdict(passing, _TAKEN)


class _Trial:
    """How many pods of one node at a time have one of the ports."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._row = -1
        self._clashing = 0

    def _look_at(self, row: int) -> None:
        if row != self._row:
            self._row, self._clashing = row, _clashing(self._snapshot, self._pod, row)

    def move(self, other: PodInfo, row: int, sign: int) -> None:
        self._look_at(row)
        if other.ports and _clash(self._pod.ports, other.ports):
            self._clashing += sign

    def refusal(self, row: int) -> str:
        self._look_at(row)
        return _TAKEN if self._clashing else ""


def trial(snapshot: Snapshot, pod: PodInfo) -> _Trial | None:
    """The filter, node by node."""
    return _Trial(snapshot, pod) if pod.ports else None


def _clashing(snapshot: Snapshot, pod: PodInfo, row: int) -> int:
    return sum(bool(other.ports) and _clash(pod.ports, other.ports) for other in snapshot.pods_on[row].values())


def _clash(left: frozenset[tuple[str, str, int]], right: frozenset[tuple[str, str, int]]) -> bool:
    return any(
        protocol == other_protocol
        and port == other_port
        and (address == other_address or _ANY in {address, other_address})
        for address, protocol, port in left
        for other_address, other_protocol, other_port in right
    )
