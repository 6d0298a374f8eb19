"""Which nodes a pod may run on, as the daemon-set and lifecycle controllers ask: affinity, taints, tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether the toleration matches the taint (core/v1 Toleration): an empty key with Exists matches all."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if operator != "Equal" or not toleration.get("key"):
        return False
    return (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(
    taints: Iterable[Mapping[str, Any]], tolerations: Sequence[Mapping[str, Any]], effects: Iterable[str]
) -> Mapping[str, Any] | None:
    """The first taint with one of these effects that no toleration matches."""
    wanted = set(effects)
    for taint in taints:
        if taint.get("effect") in wanted and not any(tolerates(found, taint) for found in tolerations):
            return taint
    return None


def taints(node: Object) -> list[dict[str, Any]]:
    """spec.taints, [] where absent."""
    return (node.get("spec") or {}).get("taints") or []


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
    return any(_term_matches(term, node) for term in affinity.get("nodeSelectorTerms") or [])


def _term_matches(term: Mapping[str, Any], node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_matches(found, meta.labels(node)) for found in expressions) and all(
        _matches(found, {"metadata.name": meta.name(node)}) for found in fields
    )


def _matches(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values") or []
    operator = requirement["operator"]
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.lstrip("-").isdecimal() or not values:
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
