"""One scheduling cycle: filters narrow the nodes down, scores rank what is left, chance breaks ties.

A plugin is a module in `plugins` with `NAME` and any of `filter(snapshot, pod)`, `score(snapshot, pod, feasible)` and
`trial(snapshot, pod)`; the last is for filters whose answer depends on the pods that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .pods import PodInfo
from .snapshots import Mask, Scores, Snapshot


class Verdict(NamedTuple):
    """The nodes that pass, and why the others, of those that passed all verdicts before it, do not.

    Where a node may have several reasons, `why` tells by reason the nodes that have it.
    """

    passing: Mask
    why: str | Mapping[str, Mask]
    # False where no pod taken off the node could change it (upstream's UnschedulableAndUnresolvable).
    resolvable: bool = True


class Trial(Protocol):
    """A filter for one pod and one node at a time, while pods are taken off that node and put back (preemption).

    What was taken off a node is put back before another node is asked.
    """

    def move(self, other: PodInfo, row: int, sign: int) -> None:
        """Take a pod off the node of this row (`sign` -1), or put it back (1)."""

    def refusal(self, row: int) -> str:
        """Why the pod can't go to the node of this row now; "" where it can."""


Filter = Callable[[Snapshot, PodInfo], Iterator[Verdict]]
# A score is from 0 to 100 for each feasible row; other rows are not looked at.
Score = Callable[[Snapshot, PodInfo, Mask], Scores | None]
# None where the plugin has no say about this pod.
TrialMaker = Callable[[Snapshot, PodInfo], Trial | None]


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of one scheduler name, in order; scores with their weights."""

    filters: Sequence[tuple[str, Filter]]
    scores: Sequence[tuple[str, Score, float]]
    trials: Sequence[TrialMaker]


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is where the pod goes, "" for nowhere; then `reasons` counts nodes by why they do not do."""

    node: str
    reasons: Counter[str]
    plugins: frozenset[str]
    nodes: int
    # Rows of the nodes that taking pods off them might make fit.
    resolvable: Mask

    @property
    def message(self) -> str:
        """Why the pod can't be scheduled, as `kubectl describe` shows it."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        return unavailable(self.nodes, self.reasons)


def unavailable(nodes: int, reasons: Counter[str]) -> str:
    """Upstream's sentence of how many of the nodes do not do for which reason."""
    parts = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return f"0/{nodes} nodes are available: {parts}."


def decide(profile: Profile, snapshot: Snapshot, pod: PodInfo, *, chance: float) -> Decision:
    """The node for a pod; `chance` in [0, 1) picks among equals.

    Nodes must do both with and without the pods of no lower priority that are nominated for some node, since nobody
    knows whether these will come. The pod's own nominated node is taken if it does, whatever the scores of others.
    """
    snapshot.make_columns(pod)
    feasible = snapshot.valid.copy()
    resolvable = snapshot.valid.copy()
    reasons: Counter[str] = Counter()
    blamed: set[str] = set()
    rivals = snapshot.rivals(pod)
    if rivals:
        with snapshot.counting(rivals):
            _narrow(profile, snapshot, pod, feasible, resolvable, reasons, blamed)
    _narrow(profile, snapshot, pod, feasible, resolvable, reasons, blamed)
    if not feasible.any():
        return Decision("", reasons, frozenset(blamed), len(snapshot), resolvable)
    row = snapshot.nominated_row(pod.uid)
    if row is None or not feasible[row]:
        row = _best(profile, snapshot, pod, feasible, chance)
    return Decision(snapshot.names[row], reasons, frozenset(blamed), len(snapshot), resolvable)


def _narrow(
    profile: Profile,
    snapshot: Snapshot,
    pod: PodInfo,
    feasible: Mask,
    resolvable: Mask,
    reasons: Counter[str],
    blamed: set[str],
) -> None:
    """Take from `feasible` what a filter rejects, and from `resolvable` what it rejects for good."""
    for name, filter_ in profile.filters:
        if not feasible.any():
            return
        for passing, why, can_change in filter_(snapshot, pod):
            rejected = feasible & ~passing
            if rejected.any():
                blamed.add(name)
                tally(reasons, why, rejected)
                feasible &= passing
                if not can_change:
                    resolvable &= ~rejected


def tally(reasons: Counter[str], why: str | Mapping[str, Mask], rejected: Mask) -> None:
    """Count the rejected nodes by their reasons."""
    for reason, rows in ({why: rejected} if isinstance(why, str) else why).items():
        if count := int(np.count_nonzero(rejected & rows)):
            reasons[reason] += count


def _best(profile: Profile, snapshot: Snapshot, pod: PodInfo, feasible: Mask, chance: float) -> int:
    rows = np.flatnonzero(feasible)
    if len(rows) > 1:
        total = np.zeros(snapshot.capacity)
        for _, score, weight in profile.scores:
            points = score(snapshot, pod, feasible)
            if points is not None:
                total += weight * points
        best = total[rows].max()
        # Sums of floats that mean the same may differ in the last bits.
        rows = rows[total[rows] >= best - 1e-9]
    return int(rows[int(chance * len(rows))])


def normalized(raw: Scores, feasible: Mask, *, reverse: bool = False) -> Scores | None:
    """Raw points brought to 0..100 by the highest among the feasible; None where all are 0."""
    highest = raw[feasible].max()
    if highest <= 0:
        return np.full_like(raw, 100.0) if reverse else None
    points: Scores = raw * (100.0 / highest)
    return 100.0 - points if reverse else points
