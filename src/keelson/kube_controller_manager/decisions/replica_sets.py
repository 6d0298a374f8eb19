"""How many pods a ReplicaSet creates or deletes, and what its status says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keelson.api import meta, selectors
from keelson.api.meta import Object

from . import pods

# No more in one turn, so that one large set does not keep others waiting.
BURST = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` new pods, or `delete` these; `look_again` is when a ready pod becomes available, in seconds from now."""

    create: int
    delete: tuple[Object, ...]
    look_again: float | None


def plan(replica_set: Object, owned: Sequence[Object], now: datetime) -> Plan:
    """What to do for the set, whose pods (all that it controls, finished ones too) are `owned`."""
    active = [pod for pod in owned if pods.is_active(pod)]
    spec = replica_set["spec"]
    look_again = pods.next_availability(active, int(spec.get("minReadySeconds") or 0), now)
    if meta.is_deleting(replica_set):
        return Plan(0, (), None)
    missing = int(spec.get("replicas", 1)) - len(active)
    if missing >= 0:
        return Plan(min(missing, BURST), (), look_again)
    on_node = Counter((pod.get("spec") or {}).get("nodeName") or "" for pod in active if pods.is_ready(pod))
    ordered = pods.deletion_order(active, on_node=on_node)
    return Plan(0, tuple(ordered[: min(-missing, BURST)]), look_again)


def status(replica_set: Object, owned: Sequence[Object], now: datetime, *, failure: str = "") -> Object:
    """The set's status; `failure` is why the last turn could not create or delete pods."""
    spec, old = replica_set["spec"], replica_set.get("status") or {}
    active = [pod for pod in owned if pods.is_active(pod)]
    min_ready = int(spec.get("minReadySeconds") or 0)
    template_labels = selectors.from_label_selector(
        {"matchLabels": (spec["template"].get("metadata") or {}).get("labels") or {}}
    )
    result: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template_labels.matches(meta.labels(pod)) for pod in active),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in active),
        "terminatingReplicas": sum(
            meta.is_deleting(pod) and pods.phase(pod) not in {"Succeeded", "Failed"} for pod in owned
        ),
        "observedGeneration": int(meta.metadata(replica_set).get("generation") or 0),
    }
    conditions = [found for found in old.get("conditions") or [] if found.get("type") != "ReplicaFailure"]
    if failure:
        reason = "FailedCreate" if len(active) < int(spec.get("replicas", 1)) else "FailedDelete"
        conditions = meta.with_condition(
            old.get("conditions") or [], type_="ReplicaFailure", status="True", reason=reason, message=failure, now=now
        )
    if conditions:
        result["conditions"] = conditions
    always = {"replicas", "terminatingReplicas"}
    if replica_set["apiVersion"] == "v1":
        # A ReplicationController has no such field.
        del result["terminatingReplicas"]
    return {name: value for name, value in result.items() if value or name in always}
