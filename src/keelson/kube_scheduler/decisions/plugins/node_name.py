"""NodeName: a pod that names its node goes nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Snapshot

NAME = "NodeName"


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """Only the named node, where one is named."""
    if pod.node:
        passing = np.zeros(snapshot.capacity, dtype=np.bool_)
        row = snapshot.row(pod.node)
        if row is not None:
            passing[row] = True
        yield Verdict(passing, "node(s) didn't match the requested node name", resolvable=False)
