"""What a node's silence and conditions mean: conditions set to Unknown, taints, and when its pods must go.

Rules: Kubernetes documentation, "Nodes" (heartbeats, eviction rate) and "Taints and Tolerations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from keelson.api import meta
from keelson.api import taints as rules
from keelson.api.meta import Object

_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# (condition, its status) to the key of the NoSchedule taint that it brings.
_CONDITION_TAINTS = {
    ("Ready", "False"): rules.NOT_READY,
    ("Ready", "Unknown"): rules.UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_OWN_NO_SCHEDULE = {*_CONDITION_TAINTS.values(), rules.UNSCHEDULABLE}


def heartbeat(node: Object, lease: Object | None) -> tuple[str, str]:
    """What changes when the node shows life: the lease's renewal and the Ready condition's heartbeat."""
    renewed = str(((lease or {}).get("spec") or {}).get("renewTime") or "")
    ready = meta.condition(node, "Ready") or {}
    return renewed, str(ready.get("lastHeartbeatTime") or "")


def silent_conditions(node: Object, now: datetime) -> list[Object] | None:
    """The conditions of a node that fell silent, all Unknown; None where they already are."""
    if all((meta.condition(node, name) or {}).get("status") == "Unknown" for name in _WATCHED):
        return None
    conditions = meta.conditions(node)
    for name in _WATCHED:
        known = meta.condition(node, name)
        never = known is None
        conditions = meta.with_condition(
            conditions,
            type_=name,
            status="Unknown",
            reason="NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
            message="Kubelet never posted node status." if never else "Kubelet stopped posting node status.",
            now=now,
            lastHeartbeatTime=(known or {}).get("lastHeartbeatTime") or meta.metadata(node).get("creationTimestamp"),
        )
    return conditions


def taints(node: Object, now: datetime, *, evict: bool) -> list[dict[str, Any]] | None:
    """The node's taints as its conditions want them, None where they are so already.

    `evict` False leaves out NoExecute, as when all nodes are silent and the fault is more likely ours.
    """
    current = rules.of(node)
    wanted: list[tuple[str, str]] = []
    for found in meta.conditions(node):
        key = _CONDITION_TAINTS.get((found["type"], found["status"]))
        if key is not None:
            wanted.append((key, "NoSchedule"))
            if found["type"] == "Ready" and evict:
                wanted.append((key, "NoExecute"))
    if meta.condition(node, "Ready") is None:
        wanted.append((rules.NOT_READY, "NoSchedule"))
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append((rules.UNSCHEDULABLE, "NoSchedule"))
    kept = [taint for taint in current if not _is_ours(taint) or (taint["key"], taint["effect"]) in wanted]
    present = {(taint["key"], taint["effect"]) for taint in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": meta.format_time(now)}
        for key, effect in wanted
        if (key, effect) not in present
    ]
    result = [*kept, *added]
    return None if result == current else result


def _is_ours(taint: Mapping[str, Any]) -> bool:
    if taint["effect"] == "NoExecute":
        return taint["key"] in {rules.NOT_READY, rules.UNREACHABLE}
    return taint["effect"] == "NoSchedule" and taint["key"] in _OWN_NO_SCHEDULE


def eviction_time(pod: Object, node: Object, now: datetime) -> datetime | None:
    """When the pod must leave the node because of NoExecute taints; None where it may stay."""
    tolerations: Sequence[Mapping[str, Any]] = (pod.get("spec") or {}).get("tolerations") or []
    moment: datetime | None = None
    for taint in rules.of(node):
        if taint.get("effect") != "NoExecute":
            continue
        matching = [found for found in tolerations if rules.tolerates(found, taint)]
        if not matching:
            return now
        bounded = [int(found["tolerationSeconds"]) for found in matching if found.get("tolerationSeconds") is not None]
        if len(bounded) < len(matching):
            continue
        since = meta.parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now
        until = since + timedelta(seconds=max(min(bounded), 0))
        moment = until if moment is None else min(moment, until)
    return moment
