"""On which nodes a DaemonSet runs a pod, which pods go, how an update proceeds, and its status."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keelson.api import meta, node_selectors, taints
from keelson.api.meta import Object

from . import hashes, pods, revisions

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"

# What every daemon pod tolerates (DaemonSet documentation, "Taints and tolerations").
_TOLERATIONS: tuple[dict[str, str], ...] = (
    {"key": taints.NOT_READY, "operator": "Exists", "effect": "NoExecute"},
    {"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": taints.UNSCHEDULABLE, "operator": "Exists", "effect": "NoSchedule"},
)
_HOST_NETWORK_TOLERATION = {
    "key": "node.kubernetes.io/network-unavailable",
    "operator": "Exists",
    "effect": "NoSchedule",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Pods to create on these nodes (by name), pods to delete, and when a ready pod becomes available (s)."""

    create: tuple[str, ...]
    delete: tuple[Object, ...]
    look_again: float | None


def revision(daemon_set: Object) -> str:
    """The value of `controller-revision-hash` for the current template."""
    return hashes.of(
        daemon_set["spec"]["template"], collisions=int((daemon_set.get("status") or {}).get("collisionCount") or 0)
    )


def pod_for(daemon_set: Object, node: str) -> Object:
    """The pod for a node: bound to it by affinity, so that the scheduler still checks that it fits."""
    labels = {
        REVISION_LABEL: revision(daemon_set),
        GENERATION_LABEL: str(meta.metadata(daemon_set).get("generation") or 1),
    }
    pod = pods.from_template(daemon_set["spec"]["template"], daemon_set, labels=labels)
    spec = pod["spec"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or []
    required["nodeSelectorTerms"] = [{**found, **copy.deepcopy(term)} for found in terms] or [term]
    spec["tolerations"] = _with_tolerations(spec)
    return pod


def _with_tolerations(spec: Object) -> list[dict[str, Any]]:
    own = spec.get("tolerations") or []
    added = list(_TOLERATIONS) + ([_HOST_NETWORK_TOLERATION] if spec.get("hostNetwork") else [])
    return [*own, *(dict(found) for found in added if found not in own)]


def runs_on(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """(a pod should be started there, a running one may stay)."""
    spec = daemon_set["spec"]["template"].get("spec") or {}
    if not node_selectors.selects(spec, node):
        return False, False
    tolerations = _with_tolerations(spec)
    if taints.untolerated(taints.of(node), tolerations, frozenset(("NoExecute",))) is not None:
        return False, False
    if taints.untolerated(taints.of(node), tolerations, frozenset(("NoSchedule",))) is not None:
        return False, True
    return True, True


def node_of(pod: Object) -> str:
    """The node that the pod is on, or meant for before it is bound."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or []:
        for found in term.get("matchFields") or []:
            if found.get("key") == "metadata.name" and found.get("values"):
                return str(found["values"][0])
    return ""


def plan(daemon_set: Object, owned: Sequence[Object], all_nodes: Sequence[Object], now: datetime) -> Plan:
    """What to create and delete now, the update included."""
    if meta.is_deleting(daemon_set):
        return Plan((), (), None)
    by_node: dict[str, list[Object]] = {}
    for pod in owned:
        by_node.setdefault(node_of(pod), []).append(pod)
    create: list[str] = []
    delete: list[Object] = []
    names = {meta.name(node) for node in all_nodes}
    for node in all_nodes:
        start, stay = runs_on(daemon_set, node)
        present = by_node.get(meta.name(node), [])
        # Failed daemon pods are deleted and made anew; the queue's delay keeps that from spinning.
        failed = [pod for pod in present if pods.phase(pod) == "Failed" and not meta.is_deleting(pod)]
        live = [pod for pod in present if pods.is_active(pod)]
        leaving = [pod for pod in present if meta.is_deleting(pod)]
        delete += failed
        if not stay:
            delete += live
        elif start and not live and not leaving:
            create.append(meta.name(node))
        elif len(live) > 1:
            live.sort(key=lambda pod: (not pods.is_ready(pod), str(meta.metadata(pod).get("creationTimestamp") or "")))
            delete += live[1:]
    delete += [
        pod for name, found in by_node.items() if name not in names for pod in found if not meta.is_deleting(pod)
    ]
    if not create and not delete:
        delete = _outdated(daemon_set, by_node, all_nodes, now)
    live = [pod for pod in owned if pods.is_active(pod)]
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    return Plan(tuple(create), tuple(delete), pods.next_availability(live, min_ready, now))


def _outdated(
    daemon_set: Object, by_node: dict[str, list[Object]], all_nodes: Sequence[Object], now: datetime
) -> list[Object]:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    wanted = [meta.name(node) for node in all_nodes if runs_on(daemon_set, node)[0]]
    allowed = pods.scaled((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(wanted), round_up=True)
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    sick_old: list[Object] = []
    well_old: list[Object] = []
    unavailable = 0
    for name in wanted:
        live = [pod for pod in by_node.get(name, []) if pods.is_active(pod)]
        if not live:
            unavailable += 1
            continue
        available = pods.is_available(live[0], min_ready, now)
        old = not is_current(daemon_set, live[0])
        if not available:
            unavailable += 1
        if old:
            (well_old if available else sick_old).append(live[0])
    return [*sick_old, *well_old[: max(allowed - unavailable, 0)]]


def is_current(daemon_set: Object, pod: Object) -> bool:
    """The pod is of the current template."""
    return meta.labels(pod).get(REVISION_LABEL) == revision(daemon_set)


def status(daemon_set: Object, owned: Sequence[Object], all_nodes: Sequence[Object], now: datetime) -> Object:
    """The set's status."""
    by_node: dict[str, list[Object]] = {}
    for pod in owned:
        if pods.is_active(pod):
            by_node.setdefault(node_of(pod), []).append(pod)
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    counts = dict.fromkeys(
        (
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ),
        0,
    )
    for node in all_nodes:
        start, stay = runs_on(daemon_set, node)
        live = by_node.get(meta.name(node), [])
        if start:
            counts["desiredNumberScheduled"] += 1
            if live:
                counts["currentNumberScheduled"] += 1
                counts["numberReady"] += pods.is_ready(live[0])
                counts["numberAvailable"] += pods.is_available(live[0], min_ready, now)
                counts["updatedNumberScheduled"] += is_current(daemon_set, live[0])
        elif live and not stay:
            counts["numberMisscheduled"] += 1
    unavailable = counts["desiredNumberScheduled"] - counts["numberAvailable"]
    required = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    result: Object = {name: value for name, value in counts.items() if value or name in required}
    result["observedGeneration"] = int(meta.metadata(daemon_set).get("generation") or 0)
    if unavailable:
        result["numberUnavailable"] = unavailable
    for name in ("collisionCount", "conditions"):
        if (daemon_set.get("status") or {}).get(name):
            result[name] = daemon_set["status"][name]
    return result


def controller_revision(daemon_set: Object, number: int) -> Object:
    """The ControllerRevision that keeps the current template, as `kubectl rollout history` reads it."""
    digest = revision(daemon_set)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name(daemon_set)}-{digest}",
            "namespace": meta.namespace(daemon_set),
            "labels": {
                **((daemon_set["spec"]["template"].get("metadata") or {}).get("labels") or {}),
                REVISION_LABEL: digest,
            },
            "annotations": {
                name: value
                for name, value in meta.annotations(daemon_set).items()
                if name != "kubectl.kubernetes.io/last-applied-configuration"
            },
            "ownerReferences": [meta.owner_reference(daemon_set)],
        },
        "data": revisions.data_of(daemon_set["spec"]["template"]),
        "revision": number,
    }
