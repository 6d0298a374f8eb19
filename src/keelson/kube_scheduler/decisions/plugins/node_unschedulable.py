"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Iterator

from keelson.api.taints import tolerates
from keelson.kube_scheduler.decisions.frameworks import Verdict
from keelson.kube_scheduler.decisions.pods import PodInfo
from keelson.kube_scheduler.decisions.snapshots import Snapshot

NAME = "NodeUnschedulable"
_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def filter(snapshot: Snapshot, pod: PodInfo) -> Iterator[Verdict]:  # noqa: A001 - the extension point's name
    """spec.unschedulable is unset, or its taint tolerated."""
    if not any(tolerates(found, _TAINT) for found in pod.tolerations):
        cordoned = snapshot.mask(NAME, lambda row: bool((snapshot.nodes[row].get("spec") or {}).get("unschedulable")))
        yield Verdict(~cordoned, "node(s) were unschedulable", resolvable=False)
