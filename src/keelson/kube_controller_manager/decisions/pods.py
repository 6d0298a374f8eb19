"""What the workload controllers ask of pods: phase, readiness, availability, which to delete first, from a template."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Object) -> str:
    """status.phase; a pod without status is Pending."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted: it counts towards replicas."""
    return phase(pod) not in {"Succeeded", "Failed"} and not meta.is_deleting(pod)


def is_ready(pod: Object) -> bool:
    """The Ready condition is True."""
    return meta.condition_is(pod, "Ready")


def available_at(pod: Object, min_ready_seconds: int) -> datetime | None:
    """From when a ready pod counts as available; None where it is not ready."""
    found = meta.condition(pod, "Ready")
    if found is None or found.get("status") != "True":
        return None
    since = found.get("lastTransitionTime")
    if not since:
        return None
    return meta.parse_time(since) + timedelta(seconds=min_ready_seconds)


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Ready for at least this long."""
    if not min_ready_seconds:
        return is_ready(pod)
    moment = available_at(pod, min_ready_seconds)
    return moment is not None and moment <= now


def next_availability(active: Iterable[Object], min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available, None where none is about to."""
    if not min_ready_seconds:
        return None
    moments = [available_at(pod, min_ready_seconds) for pod in active]
    waits = [moment - now for moment in moments if moment is not None and moment > now]
    return (min(waits) + timedelta(milliseconds=100)).total_seconds() if waits else None


def deletion_order(pods: Iterable[Object], *, on_node: Mapping[str, int]) -> list[Object]:
    """The pods, those first whose loss costs least.

    The order of the ReplicaSet documentation: unassigned, pending, not ready, lower pod-deletion-cost, more siblings
    on its node (`on_node`: ready pods by node name), ready for a shorter time, more restarts, younger.
    """

    def rank(pod: Object) -> tuple[Any, ...]:
        node = (pod.get("spec") or {}).get("nodeName") or ""
        ready = meta.condition(pod, "Ready") or {}
        restarts = sum(
            int(status.get("restartCount") or 0) for status in (pod.get("status") or {}).get("containerStatuses") or []
        )
        return (
            bool(node),
            _PHASES.get(phase(pod), 2),
            is_ready(pod),
            _deletion_cost(pod),
            -on_node.get(node, 0),
            _descending(ready.get("lastTransitionTime") or ""),
            -restarts,
            _descending(str(meta.metadata(pod).get("creationTimestamp") or "")),
            meta.name(pod),
        )

    return sorted(pods, key=rank)


def _descending(moment: str) -> float:
    return -meta.parse_time(moment).timestamp() if moment else 0.0


def _deletion_cost(pod: Object) -> int:
    text = meta.annotations(pod).get("controller.kubernetes.io/pod-deletion-cost", "0")
    try:
        return int(text)
    except ValueError:
        return 0


def from_template(template: Object, owner: Object, *, labels: Mapping[str, str] | None = None) -> Object:
    """A pod as a controller creates it: the template's metadata and spec, owned, named by the server."""
    head = template.get("metadata") or {}
    fresh: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{meta.name(owner)}-",
            "namespace": meta.namespace(owner),
            "labels": {**(head.get("labels") or {}), **(labels or {})},
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
    for field in ("annotations", "finalizers"):
        if head.get(field):
            fresh["metadata"][field] = copy.deepcopy(head[field])
    return fresh


def scaled(value: int | str | None, total: int, *, round_up: bool) -> int:
    """An absolute number or a percentage of `total` (IntOrString), never below 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return max(value, 0)
    percent = int(value.removesuffix("%"))
    return max((percent * total + (99 if round_up else 0)) // 100, 0)


def batches(count: int) -> list[int]:
    """`count` split into 1, 2, 4, … so that a quota that refuses the first refuses one request and not all."""
    sizes, size = [], 1
    while count > 0:
        sizes.append(min(size, count))
        count -= size
        size *= 2
    return sizes
