"""What budgets allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import disruption_budgets

CASES = yaml.safe_load(Path(__file__).with_name("disruption_budgets.yaml").read_text(encoding="utf-8"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _pod(number: int, state: str) -> Object:
    metadata: Object = {"name": f"pod-{number}", "namespace": "default"}
    if state == "going":
        metadata["deletionTimestamp"] = meta.format_time(NOW)
    ready = {"type": "Ready", "status": "False" if state == "unready" else "True"}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": [ready]}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outlook(case: dict[str, Any]) -> None:
    pods = [_pod(number, state) for number, state in enumerate(case["pods"])]
    noted = {
        f"pod-{number}": meta.format_time(NOW - timedelta(seconds=int(state.partition(" ")[2])))
        for number, state in enumerate(case["pods"])
        if state.startswith("lost")
    }
    budget = {
        "metadata": {"name": "b", "namespace": "default", "generation": 3},
        "spec": case["spec"],
        "status": {"disruptedPods": noted},
    }
    scales = {f"owner-{number}": size for number, size in enumerate(case.get("scales", []))}
    assert disruption_budgets.needs_scales(budget) is bool(scales)
    found = disruption_budgets.outlook(budget, pods, scales, NOW)
    status = found.status
    told: dict[str, Any] = {
        "allowed": status["disruptionsAllowed"],
        "healthy": status["currentHealthy"],
        "desired": status["desiredHealthy"],
        "expected": status["expectedPods"],
    }
    if status.get("disruptedPods"):
        told["noted"] = sorted(status["disruptedPods"])
    if found.look_again is not None:
        told["again"] = int(found.look_again)
    assert told == case["then"]
    (condition,) = status["conditions"]
    assert (condition["status"], condition["observedGeneration"]) == (str(told["allowed"] > 0), 3)


def test_what_can_not_be_counted_allows_nothing() -> None:
    budget = {"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 2, "currentHealthy": 3}}
    status = disruption_budgets.failed(budget, "why", NOW)
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 3)
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"]) == ("SyncFailed", "why")


@pytest.mark.parametrize(
    ("age", "reason", "phase", "wait"),
    [
        (0, "EvictionByEvictionAPI", "Running", 120.0),
        (300, "EvictionByEvictionAPI", "Running", 0.0),
        (300, "TerminationByKubelet", "Running", None),
        (300, "EvictionByEvictionAPI", "Failed", None),
    ],
)
def test_an_announced_disruption_that_did_not_come_is_taken_back(
    age: int, reason: str, phase: str, wait: float | None
) -> None:
    since = meta.format_time(NOW - timedelta(seconds=age))
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": since}
    pod = {"metadata": {"name": "p"}, "status": {"phase": phase, "conditions": [condition]}}
    assert disruption_budgets.stale_condition(pod, NOW) == wait
