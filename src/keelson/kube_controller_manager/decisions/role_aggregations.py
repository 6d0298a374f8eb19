"""Which rules an aggregated ClusterRole has ("Aggregated ClusterRoles" in the Kubernetes documentation on RBAC)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keelson.api import meta, selectors
from keelson.api.meta import Object


def chooses(role: Object, other: Object) -> bool:
    """Whether the role takes the rules of another: one of its selectors matches the other's labels."""
    chosen = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    labels = meta.labels(other)
    return any(selectors.from_label_selector(selector).matches(labels) for selector in chosen)


def rules(role: Object, roles: Iterable[Object]) -> list[Any]:
    """The rules of every role that it chooses but itself, each once, in the order of the roles' names."""
    found: list[Any] = []
    for other in sorted(roles, key=meta.name):
        if meta.name(other) != meta.name(role) and chooses(role, other):
            found.extend(rule for rule in other.get("rules") or () if rule not in found)
    return found
