"""Silence, taints and evictions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.kube_controller_manager.decisions import node_lifecycle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNREACHABLE = "node.kubernetes.io/unreachable"


def _node(ready: str, taints: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": "n"}, "spec": {"taints": taints or [], **spec}, "status": {"conditions": conditions}}


def _keys(taints: list[dict[str, Any]] | None) -> list[tuple[str, str]] | None:
    return None if taints is None else [(found["key"].rpartition("/")[2], found["effect"]) for found in taints]


def test_a_silent_node_knows_nothing_any_more() -> None:
    conditions = node_lifecycle.silent_conditions(_node("True"), NOW)
    assert conditions is not None
    assert {(found["type"], found["status"]) for found in conditions} == {
        (name, "Unknown") for name in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
    }
    silent = {"metadata": {}, "status": {"conditions": conditions}}
    assert node_lifecycle.silent_conditions(silent, NOW) is None


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        (_node("True"), None),
        (_node("Unknown"), [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]),
        (_node("False"), [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]),
        (_node("True", unschedulable=True), [("unschedulable", "NoSchedule")]),
        (_node("True", [{"key": UNREACHABLE, "effect": "NoExecute"}]), []),
        (_node("True", [{"key": "own", "effect": "NoSchedule"}]), None),
    ],
)
def test_taints_follow_conditions(node: dict[str, Any], wanted: list[tuple[str, str]] | None) -> None:
    assert _keys(node_lifecycle.taints(node, NOW, evict=True)) == wanted


def test_no_evictions_while_all_are_silent() -> None:
    assert _keys(node_lifecycle.taints(_node("Unknown"), NOW, evict=False)) == [("unreachable", "NoSchedule")]


def _pod(*tolerations: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"tolerations": list(tolerations)}}


def test_when_a_pod_must_go() -> None:
    tainted = _node("Unknown", [{"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": meta.format_time(NOW)}])
    later = NOW + timedelta(seconds=60)
    assert node_lifecycle.eviction_time(_pod(), tainted, later) == later
    bounded = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    assert node_lifecycle.eviction_time(_pod(bounded), tainted, later) == NOW + timedelta(seconds=300)
    forever = {"key": UNREACHABLE, "operator": "Exists"}
    assert node_lifecycle.eviction_time(_pod(forever), tainted, later) is None
    assert node_lifecycle.eviction_time(_pod(), _node("True"), later) is None
