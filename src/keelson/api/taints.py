"""Taints and tolerations, as the scheduler, the controllers and the kubelet all read them.

Rules: Kubernetes documentation, "Taints and Tolerations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def of(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The node's spec.taints, [] where absent."""
    return (node.get("spec") or {}).get("taints") or []


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether the toleration matches the taint: an empty key with Exists matches all, an empty effect any."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(
    taints: Sequence[Mapping[str, Any]], tolerations: Sequence[Mapping[str, Any]], effects: frozenset[str]
) -> Mapping[str, Any] | None:
    """The first taint of these effects that nothing tolerates."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(found, taint) for found in tolerations):
            return taint
    return None


def signature(tolerations: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, str, str], ...]:
    """What distinguishes sets of tolerations where taints are only filtered by."""
    return tuple(
        sorted(
            (found.get("key") or "", found.get("operator") or "", found.get("value") or "", found.get("effect") or "")
            for found in tolerations
        )
    )


def _parts(toleration: Mapping[str, Any]) -> tuple[str, str, str, str, int | None]:
    return (
        toleration.get("key") or "",
        toleration.get("operator") or "Equal",
        toleration.get("value") or "",
        toleration.get("effect") or "",
        toleration.get("tolerationSeconds"),
    )


def covers(wider: Mapping[str, Any], narrower: Mapping[str, Any]) -> bool:
    """Whether a toleration tolerates all that another one does."""
    wide, narrow = _parts(wider), _parts(narrower)
    if wide == narrow:
        return True
    key, operator, value, effect, seconds = wide
    if (key or operator != "Exists") and key != narrow[0]:
        return False
    if effect and effect != narrow[3]:
        return False
    if effect == "NoExecute" and seconds is not None and (narrow[4] is None or narrow[4] > seconds):
        return False
    return operator == "Exists" or (operator == narrow[1] == "Equal" and value == narrow[2])


def merged(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Both lists of tolerations without those that another one covers."""
    found = [*first, *second]
    kept: list[Mapping[str, Any]] = []
    for index, each in enumerate(found):
        later = (other for other in found[index + 1 :] if _parts(other) != _parts(each))
        if not any(covers(other, each) for other in kept) and not any(covers(other, each) for other in later):
            kept.append(each)
    return kept
