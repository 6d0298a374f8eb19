"""Which nodes a pod's spec selects: nodeSelector and the required node affinity (core/v1 NodeSelector)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import meta, selectors
from .meta import Object


def selects(spec: Mapping[str, Any], node: Object) -> bool:
    """Whether nodeSelector and the required node affinity of a pod's spec allow the node."""
    labels = meta.labels(node)
    if any(labels.get(name) != value for name, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if affinity is None:
        return True
    return any(term_matches(term, node) for term in affinity.get("nodeSelectorTerms") or [])


def term_matches(term: Mapping[str, Any], node: Object) -> bool:
    """Whether all of a NodeSelectorTerm's expressions and fields match; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    if not selectors.from_node_selector_terms(expressions).matches(meta.labels(node)):
        return False
    # Only the name can be selected by; it may be longer than a label's value, so no label selector serves.
    return all(
        found["key"] == "metadata.name"
        and (meta.name(node) in (found.get("values") or [])) == (found["operator"] == "In")
        for found in fields
    )
