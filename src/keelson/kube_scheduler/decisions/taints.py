"""Taints and tolerations (Kubernetes documentation, "Taints and Tolerations")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
