"""NodePorts: a host port is taken once per node and address."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Snapshot

NAME = "NodePorts"
_ANY = "0.0.0.0"  # noqa: S104 - the API's word for "every address"


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[tuple[Mask, str]]:  # noqa: A001 - the extension point's name
    """No pod on the node has one of the ports."""
    if not pod.ports:
        return
    passing = snapshot.valid.copy()
    for row in np.flatnonzero(snapshot.valid):
        for other in snapshot.pods_on[int(row)].values():
            if other.ports and _clash(pod.ports, other.ports):
                passing[row] = False
                break
    yield passing, "node(s) didn't have free ports for the requested pod ports"


def _clash(left: frozenset[tuple[str, str, int]], right: frozenset[tuple[str, str, int]]) -> bool:
    return any(
        protocol == other_protocol
        and port == other_port
        and (address == other_address or _ANY in {address, other_address})
        for address, protocol, port in left
        for other_address, other_protocol, other_port in right
    )
