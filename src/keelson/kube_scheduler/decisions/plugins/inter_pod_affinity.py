"""InterPodAffinity: pods near to or away from other pods, as both sides state it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.kube_scheduler.decisions.pods import AffinityTerm, PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot
from keelson.kube_scheduler.decisions.topologies import Domains

NAME = "InterPodAffinity"
# The weight that a required affinity of a pod already there has for one that comes to it (hardPodAffinityWeight).
_HARD_WEIGHT = 1


def _matching(snapshot: Snapshot, term: AffinityTerm) -> Scores:
    """How many pods on each row the term speaks of."""
    counts = np.zeros(snapshot.capacity)
    for row in np.flatnonzero(snapshot.valid):
        counts[row] = sum(
            term.matches(other, snapshot.namespace_labels) for other in snapshot.pods_on[int(row)].values()
        )
    return counts


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[tuple[Mask, str]]:  # noqa: A001 - the extension point's name
    """Required affinity holds, required anti-affinity holds, and nobody there objects to the pod."""
    if pod.required_affinity:
        yield _near(snapshot, pod), "node(s) didn't match pod affinity rules"
    if pod.required_anti_affinity:
        passing = snapshot.valid.copy()
        for term in pod.required_anti_affinity:
            domains = Domains.of(snapshot, term.topology_key)
            passing &= domains.spread(domains.sums(_matching(snapshot, term), snapshot.valid)) == 0
        yield passing, "node(s) didn't match pod anti-affinity rules"
    objections = snapshot.valid.copy()
    for other, row in snapshot.with_anti_affinity.values():
        for term in other.required_anti_affinity:
            if term.matches(pod, snapshot.namespace_labels):
                objections &= ~_same_domain(snapshot, term.topology_key, row)
    yield objections, "node(s) didn't satisfy existing pods anti-affinity rules"


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
