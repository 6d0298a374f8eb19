"""Replays placements.yaml against the scheduling decision."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.kube_scheduler.decisions import frameworks, plugins, pods
from keelson.kube_scheduler.decisions.snapshots import Snapshot

CASES = yaml.safe_load((Path(__file__).parent / "placements.yaml").read_text(encoding="utf-8"))


def _node(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": case["name"], "labels": case.get("labels", {})},
        "spec": {"taints": case.get("taints", []), "unschedulable": case.get("unschedulable", False)},
        "status": {"allocatable": {"cpu": case.get("cpu", "4"), "memory": "8Gi", "pods": str(case.get("pods", 110))}},
    }


def _pod(case: dict[str, Any], node: str = "") -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main"}
    if "cpu" in case:
        container["resources"] = {"requests": {"cpu": case["cpu"]}}
    spec = {"containers": [container], **case.get("spec", {})}
    if node:
        spec["nodeName"] = node
    head = {"name": case["name"], "namespace": "default", "uid": case["name"], "labels": case.get("labels", {})}
    return {"metadata": head, "spec": spec}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_placement(case: dict[str, Any]) -> None:
    snapshot = Snapshot()
    for node in case["nodes"]:
        snapshot.set_node(_node(node))
    for there in case.get("there", []):
        snapshot.add_pod(pods.info(_pod(there, there["at"])))
    for wanted in case["place"]:
        decision = frameworks.decide(plugins.DEFAULT, snapshot, pods.info(_pod(wanted)), chance=0.0)
        if "pending" in wanted:
            assert decision.node == ""
            assert wanted["pending"] in decision.message
        else:
            assert decision.node in wanted["goes"], decision.message
            snapshot.add_pod(pods.info(_pod(wanted, decision.node)))


def test_a_heartbeat_changes_nothing() -> None:
    snapshot = Snapshot()
    node = _node({"name": "n"})
    assert snapshot.set_node(node)
    beat = {**node, "status": {**node["status"], "conditions": [{"type": "Ready", "lastHeartbeatTime": "now"}]}}
    assert not snapshot.set_node(beat)
    assert snapshot.set_node({**beat, "metadata": {"name": "n", "labels": {"new": "label"}}})


def test_pods_of_a_node_that_comes_back_count_again() -> None:
    snapshot = Snapshot()
    snapshot.set_node(_node({"name": "n", "cpu": "1"}))
    snapshot.add_pod(pods.info(_pod({"name": "a", "cpu": "1"}, "n")))
    snapshot.remove_node("n")
    snapshot.set_node(_node({"name": "n", "cpu": "1"}))
    decision = frameworks.decide(plugins.DEFAULT, snapshot, pods.info(_pod({"name": "b", "cpu": "1"})), chance=0.0)
    assert decision.node == ""


def test_more_nodes_than_first_room_for() -> None:
    snapshot = Snapshot()
    for number in range(200):
        snapshot.set_node(_node({"name": f"n{number}", "cpu": "4" if number < 199 else "64"}))
    decision = frameworks.decide(plugins.DEFAULT, snapshot, pods.info(_pod({"name": "a", "cpu": "32"})), chance=0.0)
    assert decision.node == "n199"


def test_a_resource_seen_for_the_first_time_counts() -> None:
    snapshot = Snapshot()
    node = _node({"name": "n"})
    node["status"]["allocatable"]["example.com/gpu"] = "2"
    snapshot.set_node(node)
    wants = {"name": "a", "spec": {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "2"}}}]}}
    decision = frameworks.decide(plugins.DEFAULT, snapshot, pods.info(_pod(wants)), chance=0.0)
    assert decision.node == "n"
