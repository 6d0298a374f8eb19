"""Replays placements.yaml against the scheduling decision."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.kube_scheduler.decisions import frameworks, plugins, pods
from keelson.kube_scheduler.decisions.snapshots import Snapshot
from tests.scenarios.kube_scheduler import clusters

CASES = yaml.safe_load((Path(__file__).parent / "placements.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_placement(case: dict[str, Any]) -> None:
    snapshot = Snapshot()
    for node in case["nodes"]:
        snapshot.set_node(clusters.node(node))
    for there in case.get("there", []):
        facts = pods.info(clusters.pod(there, there.get("at", "")))
        if "at" in there:
            snapshot.add_pod(facts)
        else:
            snapshot.nominate(facts, there["nominated"])
    for wanted in case["place"]:
        facts = pods.info(clusters.pod(wanted))
        snapshot.nominate(facts, wanted.get("nominated", ""))
        decision = frameworks.decide(plugins.DEFAULT, snapshot, facts, chance=0.0)
        if "pending" in wanted:
            assert decision.node == ""
            assert wanted["pending"] in decision.message
        else:
            assert decision.node in wanted["goes"], decision.message
            snapshot.add_pod(pods.info(clusters.pod(wanted, decision.node)))


def test_a_heartbeat_changes_nothing() -> None:
    snapshot = Snapshot()
    node = clusters.node({"name": "n"})
    assert snapshot.set_node(node)
    beat = {**node, "status": {**node["status"], "conditions": [{"type": "Ready", "lastHeartbeatTime": "now"}]}}
    assert not snapshot.set_node(beat)
    assert snapshot.set_node({**beat, "metadata": {"name": "n", "labels": {"new": "label"}}})


def test_pods_of_a_node_that_comes_back_count_again() -> None:
    snapshot = Snapshot()
    snapshot.set_node(clusters.node({"name": "n", "cpu": "1"}))
    snapshot.add_pod(pods.info(clusters.pod({"name": "a", "cpu": "1"}, "n")))
    snapshot.remove_node("n")
    snapshot.set_node(clusters.node({"name": "n", "cpu": "1"}))
    decision = frameworks.decide(
        plugins.DEFAULT, snapshot, pods.info(clusters.pod({"name": "b", "cpu": "1"})), chance=0.0
    )
    assert decision.node == ""


def test_more_nodes_than_first_room_for() -> None:
    snapshot = Snapshot()
    for number in range(200):
        snapshot.set_node(clusters.node({"name": f"n{number}", "cpu": "4" if number < 199 else "64"}))
    decision = frameworks.decide(
        plugins.DEFAULT, snapshot, pods.info(clusters.pod({"name": "a", "cpu": "32"})), chance=0.0
    )
    assert decision.node == "n199"


def test_a_resource_seen_for_the_first_time_counts() -> None:
    snapshot = Snapshot()
    node = clusters.node({"name": "n"})
    node["status"]["allocatable"]["example.com/gpu"] = "2"
    snapshot.set_node(node)
    wants = {"name": "a", "spec": {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "2"}}}]}}
    decision = frameworks.decide(plugins.DEFAULT, snapshot, pods.info(clusters.pod(wants)), chance=0.0)
    assert decision.node == "n"
