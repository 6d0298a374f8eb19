"""How fast an autoscaler follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.kube_controller_manager.decisions import scaling_rules
from keelson.kube_controller_manager.decisions.scaling_rules import Change, History, Verdict

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


def decided(current: int, wanted: int, history: History | None = None, **spec: Any) -> Verdict:
    stated = {"minReplicas": 1, "maxReplicas": 100, **spec}
    return scaling_rules.decided(stated, current, wanted, history or History(), NOW, window=300.0)


@pytest.mark.parametrize(
    ("current", "wanted", "spec", "replicas", "reason"),
    [
        (3, 5, {}, 5, "DesiredWithinRange"),
        (3, 50, {}, 6, "ScaleUpLimit"),
        (1, 50, {}, 4, "ScaleUpLimit"),
        (3, 5, {"maxReplicas": 4}, 4, "TooManyReplicas"),
        (3, 0, {"minReplicas": 2}, 2, "TooFewReplicas"),
    ],
)
def test_without_rules_of_its_own(current: int, wanted: int, spec: Any, replicas: int, reason: str) -> None:
    verdict = decided(current, wanted, **spec)
    assert (verdict.replicas, verdict.limit[0]) == (replicas, reason)
    assert verdict.limited is (reason != "DesiredWithinRange")


def test_the_highest_recommendation_of_the_window_counts_when_fewer_are_wanted() -> None:
    history = History([(ago(400), 9), (ago(200), 7), (ago(100), 5)])
    verdict = decided(8, 3, history)
    assert (verdict.replicas, verdict.able[0]) == (7, "ScaleDownStabilized")
    # What is older than the window is forgotten, and the new one remembered.
    assert history.recommended == [(ago(200), 7), (ago(100), 5), (NOW, 3)]


def rules(**more: Any) -> dict[str, Any]:
    return {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", **more}


PODS = {"type": "Pods", "value": 2, "periodSeconds": 60}
PERCENT = {"type": "Percent", "value": 50, "periodSeconds": 60}


@pytest.mark.parametrize(
    ("select", "up", "down"),
    [("Max", 15, 5), ("Min", 12, 8), ("Disabled", 10, 10)],
)
def test_policies_limit_the_rate(select: str, up: int, down: int) -> None:
    both = rules(selectPolicy=select, policies=[PODS, PERCENT])
    behavior = {"scaleUp": both, "scaleDown": both}
    assert decided(10, 50, behavior=behavior).replicas == up
    assert decided(10, 1, behavior=behavior).replicas == down


def test_what_was_added_within_the_period_counts_against_the_rate() -> None:
    behavior = {"scaleUp": rules(policies=[PODS]), "scaleDown": rules()}
    history = History(changes=[Change(ago(90), 5), Change(ago(30), 1)])
    verdict = decided(10, 50, history, behavior=behavior)
    assert (verdict.replicas, verdict.limit[0]) == (11, "ScaleUpLimit")


def test_growth_waits_for_the_lowest_recommendation_of_its_window() -> None:
    behavior = {"scaleUp": rules(stabilizationWindowSeconds=120, policies=[PERCENT]), "scaleDown": rules()}
    verdict = decided(4, 6, History([(ago(100), 5), (ago(300), 1)]), behavior=behavior)
    assert (verdict.replicas, verdict.able[0]) == (5, "ScaleUpStabilized")


def test_changes_are_kept_as_long_as_a_policy_asks_for_them() -> None:
    history = History(changes=[Change(ago(90), 5), Change(ago(30), 1)])
    scaling_rules.changed({"behavior": {"scaleUp": rules(policies=[PODS])}}, history, -2, NOW)
    assert history.changes == [Change(ago(30), 1), Change(NOW, -2)]
