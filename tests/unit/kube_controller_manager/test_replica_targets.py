"""From usage to replicas, and what pods that say nothing or too early count for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import replica_targets
from keelson.kube_controller_manager.decisions.replica_targets import Patience, Sample, Tolerance, UncomputableError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, *, cpu: str = "1", phase: str = "Running", ready: bool = True, age: int = 3600) -> Object:
    started = meta.format_time(NOW - timedelta(seconds=age))
    ready_condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": started}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": phase, "startTime": started, "conditions": [ready_condition]},
    }


def utilization(current: int, percent: int, pods: list[Object], usage: dict[str, int], **more: Any) -> Any:
    samples = {name: Sample(value, NOW) for name, value in usage.items()}
    stated: dict[str, Any] = {"resource": "cpu", "tolerance": Tolerance(), "patience": Patience(), "now": NOW}
    return replica_targets.by_utilization(current, percent, pods, samples, **{**stated, **more})


@pytest.mark.parametrize(
    ("usage", "replicas"),
    [([500, 500, 500], 3), ([540, 540, 540], 3), ([1000, 1000, 1000], 6), ([560, 560, 560], 4), ([250, 250, 250], 2)],
)
def test_usage_is_brought_to_its_target(usage: list[int], replicas: int) -> None:
    pods = [pod(name) for name in "abc"]
    target = utilization(3, 50, pods, dict(zip("abc", usage, strict=True)))
    assert target.replicas == replicas
    assert (target.utilization, target.usage) == (usage[0] // 10, usage[0])


def test_a_pod_without_a_sample_is_busy_when_fewer_are_wanted_and_idle_when_more_are() -> None:
    pods = [pod(name) for name in "abc"]
    assert utilization(3, 50, pods, {"a": 100, "b": 100}).replicas == 3
    assert utilization(3, 50, pods, {"a": 1000, "b": 1000}).replicas == 4


def test_a_pod_that_is_starting_does_not_count_as_load() -> None:
    pods = [pod("a"), pod("b"), pod("new", age=10, ready=False)]
    assert utilization(3, 50, pods, {"a": 500, "b": 500, "new": 5000}).replicas == 3
    pods[2] = pod("new", age=10)
    assert utilization(3, 50, pods, {"a": 1000, "b": 1000, "new": 5000}).replicas == 4
    # Its CPU has settled by now: it is load like any other.
    pods[2] = pod("new", age=400)
    assert utilization(3, 50, pods, {"a": 1000, "b": 1000, "new": 4000}).replicas == 12


def test_pods_that_failed_or_go_are_left_out() -> None:
    going = pod("c")
    going["metadata"]["deletionTimestamp"] = meta.format_time(NOW)
    pods = [pod("a"), pod("b", phase="Failed"), going]
    assert utilization(1, 50, pods, {"a": 1000, "b": 9000, "c": 9000}).replicas == 2


@pytest.mark.parametrize(
    ("pods", "usage", "more", "message"),
    [
        ([], {}, {}, "no pods returned by selector"),
        ([pod("a")], {}, {}, "did not receive metrics for targeted pods"),
        (
            [{**pod("a"), "spec": {"containers": [{"name": "c"}]}}],
            {"a": 1},
            {},
            "missing request for cpu in container c",
        ),
        ([pod("a")], {"a": 1}, {"container": "x"}, "container x not found in Pod a"),
    ],
)
def test_what_can_not_be_reckoned_says_why(
    pods: list[Object], usage: dict[str, int], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UncomputableError, match=message):
        utilization(1, 50, pods, usage, **more)


def test_an_average_and_values_from_elsewhere() -> None:
    pods = [pod("a"), pod("b")]
    samples = {name: Sample(3000, NOW) for name in "ab"}
    average = replica_targets.by_average(2, 1000, pods, samples, tolerance=Tolerance(), patience=Patience(), now=NOW)
    assert (average.replicas, average.usage) == (6, 3000)
    assert replica_targets.by_value(2, 1000, 3000, pods, tolerance=Tolerance()).replicas == 6
    assert replica_targets.by_value(2, 1000, 1090, pods, tolerance=Tolerance()).replicas == 2
    shared = replica_targets.by_share(2, 1000, 5000, tolerance=Tolerance())
    assert (shared.replicas, shared.usage) == (5, 2500)
    assert replica_targets.by_share(5, 1000, 5400, tolerance=Tolerance()).replicas == 5
