"""Replays preemptions.yaml against the decision who must leave, on nodes that the placement decision refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.kube_scheduler.decisions import frameworks, plugins, pods, preemptions
from keelson.kube_scheduler.decisions.preemptions import Budget
from keelson.kube_scheduler.decisions.snapshots import Snapshot
from tests.scenarios.kube_scheduler import clusters

CASES = yaml.safe_load((Path(__file__).parent / "preemptions.yaml").read_text(encoding="utf-8"))


def _budget(case: dict[str, Any]) -> Budget:
    return Budget.of(
        {
            "metadata": {"name": "budget", "namespace": case.get("namespace", "default")},
            "spec": {"selector": {"matchLabels": case["selector"]}},
            "status": {
                "disruptionsAllowed": case["allowed"],
                "disruptedPods": dict.fromkeys(case.get("disrupted", ()), "2026-01-01T00:00:00Z"),
            },
        }
    )


def _state(snapshot: Snapshot) -> tuple[Any, ...]:
    return snapshot.requested.tolist(), snapshot.scored.tolist(), [dict(found) for found in snapshot.pods_on]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_preemption(case: dict[str, Any]) -> None:
    snapshot = Snapshot()
    for node in case["nodes"]:
        snapshot.set_node(clusters.node(node))
    for there in case["there"]:
        facts = pods.info(clusters.pod(there, there.get("at", "")))
        if "at" in there:
            snapshot.add_pod(facts)
        else:
            snapshot.nominate(facts, there["nominated"])
    wanted = pods.info(clusters.pod(case["wants"]))
    snapshot.nominate(wanted, case["wants"].get("nominated", ""))
    decision = frameworks.decide(plugins.DEFAULT, snapshot, wanted, chance=0.0)
    assert not decision.node
    before = _state(snapshot)
    found = preemptions.preempt(
        plugins.DEFAULT,
        snapshot,
        wanted,
        decision,
        [_budget(budget) for budget in case.get("budgets", [])],
        chance=case.get("chance", 0.0),
    )
    assert _state(snapshot) == before, "a dry run leaves no trace"
    assert found.message == case.get("message", "")
    assert found.nominate == case.get("takes")
    assert [victim.key for victim in found.victims] == [f"default/{name}" for name in case.get("victims", [])]
    if not found.victims or "nominated" in str(case["there"]):
        return
    # What the dry run promises holds: without the victims the pod goes there.
    for victim in found.victims:
        snapshot.remove_pod(victim.uid)
    snapshot.nominate(wanted, found.nominate or "")
    assert frameworks.decide(plugins.DEFAULT, snapshot, wanted, chance=0.0).node == found.nominate


def _crowded(nodes: int, each: int) -> Snapshot:
    snapshot = Snapshot()
    for number in range(nodes):
        snapshot.set_node(clusters.node({"name": f"n{number}", "cpu": "2"}))
        for index in range(each):
            there = {"name": f"p{number}-{index}", "cpu": f"{2000 // each}m", "priority": index % 3}
            snapshot.add_pod(pods.info(clusters.pod(there, f"n{number}")))
    return snapshot


def test_sums_of_lower_priorities_follow_the_pods() -> None:
    snapshot = _crowded(3, 4)
    cpu, count = snapshot.resources["cpu"], snapshot.resources["pods"]
    lower = snapshot.lower(2)
    assert lower is not None
    assert lower[:3, cpu].tolist() == [1500, 1500, 1500]
    assert lower[:3, count].tolist() == [3, 3, 3]
    snapshot.remove_pod("p1-0")
    snapshot.add_pod(pods.info(clusters.pod({"name": "high", "cpu": "1", "priority": 2}, "n1")))
    snapshot.add_pod(pods.info(clusters.pod({"name": "low", "cpu": "100m", "priority": 1}, "n2")))
    kept = snapshot.lower(2)
    assert kept is lower
    assert kept[:3, cpu].tolist() == [1500, 1000, 1600]
    assert kept[:3, count].tolist() == [3, 2, 4]
    for number in range(100):
        snapshot.set_node(clusters.node({"name": f"more{number}"}))
    grown = snapshot.lower(2)
    assert grown is not None
    assert grown[:3, cpu].tolist() == [1500, 1000, 1600]
    assert snapshot.lower(0) is None


def test_no_more_candidates_are_looked_at_than_a_tenth_of_the_nodes() -> None:
    snapshot = _crowded(1500, 1)
    wanted = pods.info(clusters.pod({"name": "high", "cpu": "2", "priority": 10}))
    decision = frameworks.decide(plugins.DEFAULT, snapshot, wanted, chance=0.0)
    asked: list[int] = []

    class Counting:
        """A filter that refuses nobody, and remembers which nodes it was asked about."""

        def move(self, _other: pods.PodInfo, row: int, _sign: int) -> None:
            asked.append(row)

        def refusal(self, _row: int) -> str:
            return ""

    profile = frameworks.Profile(
        filters=(), scores=(), trials=(*plugins.DEFAULT.trials, lambda _snapshot, _pod: Counting())
    )
    assert preemptions.preempt(profile, snapshot, wanted, decision, [], chance=0.9).victims
    assert len(set(asked)) == 150
