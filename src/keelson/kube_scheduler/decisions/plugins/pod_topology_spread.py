"""PodTopologySpread: pods spread evenly over zones, hosts or any topology (KEP-895)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keelson.api.taints import signature, untolerated
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
        counts[row] = sum(
            other.namespace == pod.namespace and not other.is_deleting and constraint.selector.matches(other.labels)
            for other in snapshot.pods_on[int(row)].values()
        )
    return counts


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[tuple[Mask, str]]:  # noqa: A001 - the extension point's name
    """With the pod there, no domain has more than maxSkew pods beyond the emptiest one."""
    for constraint in pod.spread:
        if not constraint.hard:
            continue
        domains = Domains.of(snapshot, constraint.topology_key)
        yield domains.present, _MISSING
        eligible = _eligible(snapshot, pod, constraint) & domains.present
        per_domain = domains.sums(_counts(snapshot, pod, constraint, eligible), eligible)
        known = domains.among(eligible)
        # With fewer domains than minDomains the emptiest counts as having none.
        enough = np.count_nonzero(known) >= constraint.min_domains
        least = per_domain[known].min() if enough and known.any() else 0.0
        own = float(constraint.selector.matches(pod.labels))
        yield domains.spread(per_domain) + own - least <= constraint.max_skew, _UNEVEN


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
