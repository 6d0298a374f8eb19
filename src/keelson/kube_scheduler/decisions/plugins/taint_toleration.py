"""TaintToleration: no pod on a node with a NoSchedule or NoExecute taint that it does not tolerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keelson.api.taints import signature, tolerates, untolerated
from keelson.kube_scheduler.decisions.frameworks import Verdict, normalized
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot

NAME = "TaintToleration"
_HARD = frozenset(("NoSchedule", "NoExecute"))
_SOFT = "PreferNoSchedule"


def _taints(snapshot: Snapshot, row: int) -> Sequence[Mapping[str, Any]]:
    return (snapshot.nodes[row].get("spec") or {}).get("taints") or ()


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """Every hard taint is tolerated."""
    passing = snapshot.mask(
        (NAME, signature(pod.tolerations)),
        lambda row: untolerated(_taints(snapshot, row), pod.tolerations, _HARD) is None,
    )
    yield Verdict(passing, "node(s) had untolerated taint(s)", resolvable=False)


def score(snapshot: Snapshot, pod: PodInfo, feasible: Mask) -> Scores | None:
    """The fewer soft taints that it does not tolerate, the better."""
    tainted = snapshot.mask(
        (NAME, "soft"), lambda row: any(found.get("effect") == _SOFT for found in _taints(snapshot, row))
    )
    if not (tainted & feasible).any():
        return None
    soft = [found for found in pod.tolerations if not found.get("effect") or found["effect"] == _SOFT]
    raw = np.zeros(snapshot.capacity)
    for row in np.flatnonzero(tainted & feasible):
        raw[row] = sum(
            taint.get("effect") == _SOFT and not any(tolerates(found, taint) for found in soft)
            for taint in _taints(snapshot, int(row))
        )
    return normalized(raw, feasible, reverse=True)
