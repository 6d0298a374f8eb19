"""InterPodAffinity: pods near to or away from other pods, as both sides state it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import AffinityTerm, PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot
from keelson.kube_scheduler.decisions.topologies import Domains

NAME = "InterPodAffinity"
# The weight that a required affinity of a pod already there has for one that comes to it (hardPodAffinityWeight).
_HARD_WEIGHT = 1
_NOT_NEAR = "node(s) didn't match pod affinity rules"
_TOO_NEAR = "node(s) didn't match pod anti-affinity rules"
_UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"


def _matching(snapshot: Snapshot, term: AffinityTerm) -> Scores:
    """How many pods on each row the term speaks of."""
    counts = np.zeros(snapshot.capacity)
    for row in np.flatnonzero(snapshot.valid):
        counts[row] = sum(
            term.matches(other, snapshot.namespace_labels) for other in snapshot.pods_on[int(row)].values()
        )
    return counts


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """Required affinity holds, required anti-affinity holds, and nobody there objects to the pod."""
    if pod.required_affinity:
        yield Verdict(_near(snapshot, pod), _NOT_NEAR, resolvable=False)
    if pod.required_anti_affinity:
        passing = snapshot.valid.copy()
        for term in pod.required_anti_affinity:
            domains = Domains.of(snapshot, term.topology_key)
            passing &= domains.spread(domains.sums(_matching(snapshot, term), snapshot.valid)) == 0
        yield Verdict(passing, _TOO_NEAR)
    objections = snapshot.valid.copy()
    for other, row in snapshot.with_anti_affinity.values():
        for term in other.required_anti_affinity:
            if term.matches(pod, snapshot.namespace_labels):
                objections &= ~_same_domain(snapshot, term.topology_key, row)
    yield Verdict(objections, _UNWANTED)


class _Trial:
    """How many pods each domain has that the pod's terms speak of, and that object to the pod."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._near = [_Count(snapshot, term) for term in pod.required_affinity]
        self._away = [_Count(snapshot, term) for term in pod.required_anti_affinity]
        self._is_own_kind = all(term.matches(pod, snapshot.namespace_labels) for term in pod.required_affinity)
        # By topology key and value.
        self._objections: Counter[tuple[str, str]] = Counter()
        for other, row in snapshot.with_anti_affinity.values():
            self._object(other, row, 1)

    def _object(self, other: PodInfo, row: int, sign: int) -> None:
        for term in other.required_anti_affinity:
            value = self._snapshot.labels[row].get(term.topology_key)
            if value is not None and term.matches(self._pod, self._snapshot.namespace_labels):
                self._objections[term.topology_key, value] += sign

    def move(self, other: PodInfo, row: int, sign: int) -> None:
        self._object(other, row, sign)
        for count in (*self._near, *self._away):
            count.move(self._snapshot, other, row, sign)

    def refusal(self, row: int) -> str:
        if self._near and not self._is_near(row):
            return _NOT_NEAR
        if any(count.at(row) for count in self._away):
            return _TOO_NEAR
        if any(
            amount and self._snapshot.labels[row].get(key) == value for (key, value), amount in self._objections.items()
        ):
            return _UNWANTED
        return ""

    def _is_near(self, row: int) -> bool:
        if self._is_own_kind and not any(count.total for count in self._near):
            return all(count.domains.present[row] for count in self._near)
        return all(count.at(row) for count in self._near)


class _Count:
    """How many pods of each domain one term speaks of."""

    def __init__(self, snapshot: Snapshot, term: AffinityTerm) -> None:
        self._term = term
        self.domains = Domains.of(snapshot, term.topology_key)
        matching = _matching(snapshot, term)
        self.total = int(matching.sum())
        self._per_domain = self.domains.sums(matching, snapshot.valid)

    def move(self, snapshot: Snapshot, other: PodInfo, row: int, sign: int) -> None:
        """Count a pod of this row, or count it no more."""
        if self._term.matches(other, snapshot.namespace_labels):
            self.total += sign
            if self.domains.present[row]:
                self._per_domain[self.domains.index[row]] += sign

    def at(self, row: int) -> float:
        """How many there are in the row's domain."""
        return float(self._per_domain[self.domains.index[row]]) if self.domains.present[row] else 0.0


def trial(snapshot: Snapshot, pod: PodInfo) -> _Trial | None:
    """The filter, node by node; None where neither the pod nor anybody who is there has a required term."""
    if not pod.required_affinity and not pod.required_anti_affinity and not snapshot.with_anti_affinity:
        return None
    return _Trial(snapshot, pod)


def _near(snapshot: Snapshot, pod: PodInfo) -> Mask:
    passing = snapshot.valid.copy()
    present = snapshot.valid.copy()
    anywhere = False
    for term in pod.required_affinity:
        domains = Domains.of(snapshot, term.topology_key)
        counts = _matching(snapshot, term)
        anywhere = anywhere or bool(counts.any())
        present &= domains.present
        passing &= domains.spread(domains.sums(counts, snapshot.valid)) > 0
    # The first of a group that wants to be together: it matches its own terms and nobody else does yet.
    if not anywhere and all(term.matches(pod, snapshot.namespace_labels) for term in pod.required_affinity):
        return present
    return passing & present


def _same_domain(snapshot: Snapshot, key: str, row: int) -> Mask:
    value = snapshot.labels[row].get(key)
    if value is None:
        return np.zeros(snapshot.capacity, dtype=np.bool_)
    return snapshot.mask(("domain", key, value), lambda other: snapshot.labels[other].get(key) == value)


def score(snapshot: Snapshot, pod: PodInfo, feasible: Mask) -> Scores | None:
    """Preferences of the pod and of those already there, brought to 0..100 between the lowest and the highest."""
    raw = np.zeros(snapshot.capacity)
    for term in pod.preferred_affinity:
        domains = Domains.of(snapshot, term.topology_key)
        raw += term.weight * domains.spread(domains.sums(_matching(snapshot, term), snapshot.valid))
    for other, row in snapshot.with_affinity.values():
        for term in other.preferred_affinity:
            if term.matches(pod, snapshot.namespace_labels):
                raw += term.weight * _same_domain(snapshot, term.topology_key, row)
        for term in other.required_affinity:
            if term.matches(pod, snapshot.namespace_labels):
                raw += _HARD_WEIGHT * _same_domain(snapshot, term.topology_key, row)
    lowest, highest = raw[feasible].min(), raw[feasible].max()
    if lowest == highest:
        return None
    points: Scores = (raw - lowest) * (100.0 / (highest - lowest))
    return points
