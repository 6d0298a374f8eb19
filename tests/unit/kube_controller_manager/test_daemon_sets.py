"""Daemon sets: one pod a node, on the right nodes, updated within bounds."""

import json
from datetime import UTC, datetime
from typing import Any

from keelson.kube_controller_manager.decisions import daemon_sets

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _set(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "d", "namespace": "ns", "uid": "d", "generation": 1},
        "spec": {"template": template, "selector": {"matchLabels": {"app": "d"}}, **spec},
    }


def _node(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"name": name}}, "spec": spec}


def _running(owner: dict[str, Any], node: str, *, ready: bool = True) -> dict[str, Any]:
    pod = daemon_sets.pod_for(owner, node)
    pod["metadata"] |= {"name": f"d-{node}", "uid": f"d-{node}"}
    pod["spec"]["nodeName"] = node
    pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    return pod


def test_one_pod_a_node_and_none_twice() -> None:
    owner, nodes = _set(), [_node("a"), _node("b")]
    assert daemon_sets.plan(owner, [], nodes, NOW).create == ("a", "b")
    assert daemon_sets.plan(owner, [_running(owner, "a")], nodes, NOW).create == ("b",)
    unbound = daemon_sets.pod_for(owner, "b")
    assert daemon_sets.plan(owner, [_running(owner, "a"), unbound], nodes, NOW).create == ()


def test_taints_and_selectors_choose_nodes() -> None:
    owner = _set()
    tainted = _node("t", taints=[{"key": "k", "effect": "NoSchedule"}])
    cordoned = _node("c", taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    assert daemon_sets.plan(owner, [], [tainted, cordoned], NOW).create == ("c",)
    evicting = _node("e", taints=[{"key": "k", "effect": "NoExecute"}])
    there = _running(owner, "e")
    assert daemon_sets.plan(owner, [there], [evicting], NOW).delete == (there,)
    assert daemon_sets.plan(owner, [_running(owner, "t")], [tainted], NOW).delete == ()
    owner["spec"]["template"]["spec"]["nodeSelector"] = {"name": "b"}
    assert daemon_sets.plan(owner, [], [_node("a"), _node("b")], NOW).create == ("b",)


def test_pods_of_vanished_nodes_go() -> None:
    owner = _set()
    there = _running(owner, "gone")
    assert daemon_sets.plan(owner, [there], [_node("a")], NOW).delete == (there,)


def test_an_update_takes_one_at_a_time_and_sick_ones_first() -> None:
    owner, nodes = _set(), [_node("a"), _node("b"), _node("c")]
    pods = [_running(owner, name) for name in "abc"]
    owner["spec"]["template"]["spec"]["containers"][0]["image"] = "two"
    assert len(daemon_sets.plan(owner, pods, nodes, NOW).delete) == 1
    pods[1] = {**pods[1], "status": {"phase": "Running"}}
    assert daemon_sets.plan(owner, pods, nodes, NOW).delete == (pods[1],)
    owner["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert daemon_sets.plan(owner, pods, nodes, NOW).delete == ()


def test_status_counts() -> None:
    owner, nodes = _set(), [_node("a"), _node("b")]
    status = daemon_sets.status(owner, [_running(owner, "a")], nodes, NOW)
    assert status["desiredNumberScheduled"] == 2
    assert status["currentNumberScheduled"] == status["numberReady"] == status["numberAvailable"] == 1
    assert status["numberUnavailable"] == 1


def test_a_pod_that_becomes_available_later_is_looked_at_again() -> None:
    owner = _set(minReadySeconds=10)
    pod = _running(owner, "a")
    pod["status"]["conditions"][0]["lastTransitionTime"] = "2025-12-31T23:59:55Z"
    again = daemon_sets.plan(owner, [pod], [_node("a")], NOW).look_again
    assert again is not None
    assert 5 < again < 6


def test_a_revision_keeps_the_bytes_that_upstream_compares() -> None:
    owner = _set()
    owner["spec"]["template"]["spec"] = {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "c", "args": ["b", "a"]}],
    }
    data = json.dumps(daemon_sets.controller_revision(owner, 1)["data"], separators=(",", ":"))
    assert data == (
        '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"d"}},'
        '"spec":{"containers":[{"args":["b","a"],"name":"c"}],"volumes":[{"emptyDir":{},"name":"v"}]}}}}'
    )
