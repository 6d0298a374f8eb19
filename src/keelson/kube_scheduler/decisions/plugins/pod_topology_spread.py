"""PodTopologySpread: pods spread evenly over zones, hosts or any topology (KEP-895)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.api.taints import signature, untolerated
from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import PodInfo, SpreadConstraint
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot
from keelson.kube_scheduler.decisions.topologies import Domains

from . import node_affinity

NAME = "PodTopologySpread"
_HARD_TAINTS = frozenset(("NoSchedule", "NoExecute"))
_MISSING = "node(s) didn't match pod topology spread constraints (missing required label)"
_UNEVEN = "node(s) didn't match pod topology spread constraints"


def _eligible(snapshot: Snapshot, pod: PodInfo, constraint: SpreadConstraint) -> Mask:
    """The nodes whose pods count for the skew."""
    eligible = snapshot.valid
    allowed = node_affinity.allowed(snapshot, pod) if constraint.honor_affinity else None
    if allowed is not None:
        eligible = eligible & allowed
    if constraint.honor_taints:
        eligible = eligible & snapshot.mask(
            ("TaintToleration", signature(pod.tolerations)),
            lambda row: (
                untolerated((snapshot.nodes[row].get("spec") or {}).get("taints") or (), pod.tolerations, _HARD_TAINTS)
                is None
            ),
        )
    return eligible


def _counts(snapshot: Snapshot, pod: PodInfo, constraint: SpreadConstraint, rows: Mask) -> Scores:
    """How many pods on each row the constraint counts."""
    counts = np.zeros(snapshot.capacity)
    for row in np.flatnonzero(rows):
        counts[row] = sum(_is_counted(pod, constraint, other) for other in snapshot.pods_on[int(row)].values())
    return counts


def _is_counted(pod: PodInfo, constraint: SpreadConstraint, other: PodInfo) -> bool:
    return other.namespace == pod.namespace and not other.is_deleting and constraint.selector.matches(other.labels)


class _Skew:
    """A hard constraint as it stands: how many pods each domain has, and what one more would make of it."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo, constraint: SpreadConstraint) -> None:
        self._constraint = constraint
        self.domains = Domains.of(snapshot, constraint.topology_key)
        self.eligible = _eligible(snapshot, pod, constraint) & self.domains.present
        self.per_domain = self.domains.sums(_counts(snapshot, pod, constraint, self.eligible), self.eligible)
        self._known = self.domains.among(self.eligible)
        self._own = float(constraint.selector.matches(pod.labels))

    @property
    def limit(self) -> float:
        """How many pods a domain may have for one more to be allowed."""
        # With fewer domains than minDomains the emptiest counts as having none.
        enough = np.count_nonzero(self._known) >= self._constraint.min_domains
        least = float(self.per_domain[self._known].min()) if enough and self._known.any() else 0.0
        return self._constraint.max_skew + least - self._own


def _skews(snapshot: Snapshot, pod: PodInfo) -> Iterator[tuple[SpreadConstraint, _Skew]]:
    return ((found, _Skew(snapshot, pod, found)) for found in pod.spread if found.hard)


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """With the pod there, no domain has more than maxSkew pods beyond the emptiest one."""
    for _, skew in _skews(snapshot, pod):
        yield Verdict(skew.domains.present, _MISSING, resolvable=False)
        yield Verdict(skew.domains.spread(skew.per_domain) <= skew.limit, _UNEVEN)


class _Trial:
    """The constraints' counts, changed as pods are moved."""

    def __init__(self, pod: PodInfo, skews: list[tuple[SpreadConstraint, _Skew]]) -> None:
        self._pod = pod
        self._skews = skews

    def move(self, other: PodInfo, row: int, sign: int) -> None:
        for constraint, skew in self._skews:
            if skew.eligible[row] and _is_counted(self._pod, constraint, other):
                skew.per_domain[skew.domains.index[row]] += sign

    def refusal(self, row: int) -> str:
        for _, skew in self._skews:
            if not skew.domains.present[row]:
                return _MISSING
            if skew.per_domain[skew.domains.index[row]] > skew.limit:
                return _UNEVEN
        return ""


def trial(snapshot: Snapshot, pod: PodInfo) -> _Trial | None:
    """The filter, node by node."""
    skews = list(_skews(snapshot, pod))
    return _Trial(pod, skews) if skews else None


def score(snapshot: Snapshot, pod: PodInfo, feasible: Mask) -> Scores | None:
    """Fewer matching pods in the node's domains are better; domains with few members weigh more."""
    soft = [found for found in pod.spread if not found.hard]
    if not soft:
        return None
    raw = np.zeros(snapshot.capacity)
    ignored = np.zeros(snapshot.capacity, dtype=np.bool_)
    for constraint in soft:
        domains = Domains.of(snapshot, constraint.topology_key)
        ignored |= ~domains.present
        eligible = _eligible(snapshot, pod, constraint) & domains.present
        per_domain = domains.sums(_counts(snapshot, pod, constraint, eligible), eligible)
        size = np.count_nonzero(domains.among(feasible & domains.present))
        raw += domains.spread(per_domain) * np.log(size + 2) + (constraint.max_skew - 1)
    scored = feasible & ~ignored
    if not scored.any():
        return None
    lowest, highest = raw[scored].min(), raw[scored].max()
    points = np.zeros(snapshot.capacity)
    points[scored] = 100.0 if highest == 0 else 100.0 * (highest + lowest - raw[scored]) / highest
    return points
