"""One scheduling cycle: filters narrow the nodes down, scores rank what is left, chance breaks ties.

A plugin is a module in `plugins` with `NAME` and any of `filter(snapshot, pod)` and `score(snapshot, pod, feasible)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .pods import PodInfo
from .snapshots import Mask, Scores, Snapshot

# A filter yields (nodes that pass, why the others do not); each reason is for nodes that passed all before it.
Filter = Callable[[Snapshot, PodInfo], Iterator[tuple[Mask, str | Callable[[int], str]]]]
# A score is from 0 to 100 for each feasible row; other rows are not looked at.
Score = Callable[[Snapshot, PodInfo, Mask], Scores | None]


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of one scheduler name, in order; scores with their weights."""

    filters: Sequence[tuple[str, Filter]]
    scores: Sequence[tuple[str, Score, float]]


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is where the pod goes, "" for nowhere; then `reasons` counts nodes by why they do not do."""

    node: str
    reasons: Counter[str]
    plugins: frozenset[str]
    nodes: int

    @property
    def message(self) -> str:
        """Why the pod can't be scheduled, as `kubectl describe` shows it."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        parts = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        return f"0/{self.nodes} nodes are available: {parts}."


def decide(profile: Profile, snapshot: Snapshot, pod: PodInfo, *, chance: float) -> Decision:
    """The node for a pod; `chance` in [0, 1) picks among equals."""
    feasible = snapshot.valid.copy()
    reasons: Counter[str] = Counter()
    blamed: set[str] = set()
    for name, filter_ in profile.filters:
        for passing, why in filter_(snapshot, pod):
            rejected = feasible & ~passing
            if rejected.any():
                blamed.add(name)
                rows = np.flatnonzero(rejected)
                if callable(why):
                    reasons.update(why(int(row)) for row in rows)
                else:
                    reasons[why] += len(rows)
                feasible &= passing
        if not feasible.any():
            return Decision("", reasons, frozenset(blamed), len(snapshot))
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
    return Decision(snapshot.names[int(rows[int(chance * len(rows))])], reasons, frozenset(blamed), len(snapshot))


def normalized(raw: Scores, feasible: Mask, *, reverse: bool = False) -> Scores | None:
    """Raw points brought to 0..100 by the highest among the feasible; None where all are 0."""
    highest = raw[feasible].max()
    if highest <= 0:
        return np.full_like(raw, 100.0) if reverse else None
    points: Scores = raw * (100.0 / highest)
    return 100.0 - points if reverse else points
