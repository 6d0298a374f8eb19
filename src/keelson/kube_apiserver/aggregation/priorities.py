"""In which order groups and versions are shown: the priorities of the APIServices that every cluster has. Pure.

The numbers are upstream's (kube-aggregator's table of built-in groups; 1000 and 100 for what CRDs define). Clients
resolve a bare kind or short name by this order.
"""

from __future__ import annotations

from typing import NamedTuple


class Priority(NamedTuple):
    """spec.groupPriorityMinimum and spec.versionPriority of an APIService."""

    group: int
    version: int


# apiregistration.k8s.io has no APIService and is always first after the legacy group.
OWN_GROUP = "apiregistration.k8s.io"
CUSTOM = Priority(1000, 100)

_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    OWN_GROUP: 20000,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 21,
}
_GA = 15


def built_in(group: str, version: str) -> Priority | None:
    """The priority of a built-in version; None where the group is none of Kubernetes' own."""
    found = _GROUPS.get(group)
    return None if found is None else Priority(found, _VERSIONS.get((group, version), _GA))


def version_key(version: str) -> tuple[int, int, int, str]:
    """Sorts GA before beta before alpha and higher numbers first; names of no such form come last (CRD versions)."""
    digits = version.removeprefix("v")
    major, stage, minor = digits, 2, "0"
    for word, rank in (("beta", 1), ("alpha", 0)):
        if word in digits:
            major, _, minor = digits.partition(word)
            stage = rank
            break
    if not version.startswith("v") or not major.isdecimal() or (minor and not minor.isdecimal()):
        return (1, 0, 0, version)
    return (-stage, -int(major), -int(minor or 0), "")
