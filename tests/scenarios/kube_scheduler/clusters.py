"""Nodes and pods as the scenario files write them."""

from __future__ import annotations

from typing import Any


def node(case: dict[str, Any]) -> dict[str, Any]:
    """A node: name, cpu, pods, labels, taints, unschedulable."""
    return {
        "metadata": {"name": case["name"], "labels": case.get("labels", {})},
        "spec": {"taints": case.get("taints", []), "unschedulable": case.get("unschedulable", False)},
        "status": {"allocatable": {"cpu": case.get("cpu", "4"), "memory": "8Gi", "pods": str(case.get("pods", 110))}},
    }


def pod(case: dict[str, Any], node: str = "") -> dict[str, Any]:
    """A pod: name, labels, cpu, priority, started, deleting, preempted, and any spec; on `node` where that is given."""
    container: dict[str, Any] = {"name": "main"}
    if "cpu" in case:
        container["resources"] = {"requests": {"cpu": case["cpu"]}}
    spec = {"containers": [container], "priority": case.get("priority", 0), **case.get("spec", {})}
    if node:
        spec["nodeName"] = node
    head = {"name": case["name"], "namespace": "default", "uid": case["name"], "labels": case.get("labels", {})}
    status: dict[str, Any] = {}
    if "started" in case:
        status["startTime"] = f"2026-01-01T00:{case['started']:02}:00Z"
    if case.get("deleting") or case.get("preempted"):
        head["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    if case.get("preempted"):
        status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    return {"metadata": head, "spec": spec, "status": status}
