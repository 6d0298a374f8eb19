"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from keelson.api import selectors
from keelson.kube_scheduler.decisions.frameworks import Verdict, normalized
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Mask, Scores, Snapshot

NAME = "NodeAffinity"


def allowed(snapshot: Snapshot, pod: PodInfo) -> Mask | None:
    """The nodes that nodeSelector and required affinity allow; None where the pod states neither."""
    if not pod.node_selector and pod.required_node_terms is None:
        return None
    passing = snapshot.valid.copy()
    for key, value in pod.node_selector.items():
        passing &= snapshot.mask((NAME, "label", key, value), partial(_has_label, snapshot, key, value))
    if pod.required_node_terms is not None:
        any_term = np.zeros(snapshot.capacity, dtype=np.bool_)
        for term in pod.required_node_terms:
            any_term |= _term(snapshot, term)
        passing &= any_term
    return passing


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """Labels as nodeSelector states them, and at least one required term."""
    passing = allowed(snapshot, pod)
    if passing is not None:
        yield Verdict(passing, "node(s) didn't match Pod's node affinity/selector", resolvable=False)


def score(snapshot: Snapshot, pod: PodInfo, feasible: Mask) -> Scores | None:
    """The sum of the weights of the preferred terms that match."""
    if not pod.preferred_node_terms:
        return None
    raw = np.zeros(snapshot.capacity)
    for weight, term in pod.preferred_node_terms:
        raw += weight * _term(snapshot, term)
    return normalized(raw, feasible)


def _term(snapshot: Snapshot, term: Mapping[str, Any]) -> Mask:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        # An empty term matches nothing (NodeSelectorTerm).
        return np.zeros(snapshot.capacity, dtype=np.bool_)
    passing = snapshot.valid.copy()
    for field in fields:
        # Bound to one node, as daemon pods are: a row, not a look at every node.
        passing &= _names(snapshot, field)
    for found in expressions:
        key = (NAME, json.dumps(found, sort_keys=True))
        passing &= snapshot.mask(key, partial(_row_matches, snapshot, found))
    return passing


def _names(snapshot: Snapshot, requirement: Mapping[str, Any]) -> Mask:
    named = np.zeros(snapshot.capacity, dtype=np.bool_)
    if requirement.get("key") != "metadata.name":
        return named
    for name in requirement.get("values") or []:
        row = snapshot.row(name)
        if row is not None:
            named[row] = True
    return named if requirement.get("operator") == "In" else snapshot.valid & ~named


def _has_label(snapshot: Snapshot, key: str, value: str, row: int) -> bool:
    return snapshot.labels[row].get(key) == value


def _row_matches(snapshot: Snapshot, requirement: Mapping[str, Any], row: int) -> bool:
    return selectors.from_node_selector_terms([requirement]).matches(snapshot.labels[row])
