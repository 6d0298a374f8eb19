"""Replays rollouts.yaml against the deployment decider, and follows whole rollouts to their end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import meta
from keelson.kube_controller_manager.decisions import deployments

CASES = yaml.safe_load((Path(__file__).parent / "rollouts.yaml").read_text(encoding="utf-8"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _template(version: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": version}]}}


def _deployment(case: dict[str, Any]) -> dict[str, Any]:
    strategy: dict[str, Any] = {"type": case.get("type", "RollingUpdate")}
    rolling = {name: case[name] for name in ("maxSurge", "maxUnavailable") if name in case}
    if rolling:
        strategy["rollingUpdate"] = rolling
    status = {}
    if case.get("complete"):
        status = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), case["replicas"])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 0},
        "spec": {
            "replicas": case["replicas"],
            "template": _template(case["template"]),
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": strategy,
            "paused": case.get("paused", False),
            "revisionHistoryLimit": case.get("limit", 10),
            "progressDeadlineSeconds": 600,
        },
        "status": status,
    }


def _set(deployment: dict[str, Any], age: int, version: str, size: int, available: int) -> dict[str, Any]:
    surge = deployments.max_surge(deployment)
    wanted = deployment["spec"]["replicas"]
    annotations = {
        deployments.REVISION: str(age),
        deployments.DESIRED: str(wanted),
        deployments.MAXIMUM: str(wanted + surge),
    }
    return {
        "metadata": {
            "name": version,
            "namespace": "default",
            "uid": version,
            "creationTimestamp": meta.format_time(NOW + timedelta(seconds=age)),
            "annotations": annotations,
        },
        "spec": {"replicas": size, "template": _template(version)},
        "status": {"replicas": size, "readyReplicas": available, "availableReplicas": available},
    }


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_step(case: dict[str, Any]) -> None:
    deployment = _deployment(case["deployment"])
    sets = [_set(deployment, *row) for row in case["sets"]]
    plan = deployments.plan(deployment, sets, old_pods_running=case.get("running", False))
    created = None if plan.create is None else plan.create["spec"]["replicas"]
    assert created == case["then"].get("create")
    assert plan.scale == case["then"].get("sizes", {})
    assert list(plan.delete) == case["then"].get("delete", [])


@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1), ("25%", "25%"), ("100%", 0), (3, "50%")])
def test_a_rollout_ends_and_never_breaks_its_bounds(surge: int | str, unavailable: int | str) -> None:
    case = {"replicas": 7, "template": "v2", "maxSurge": surge, "maxUnavailable": unavailable}
    deployment = _deployment(case)
    sets = [_set(deployment, 1, "v1", 7, 7)]
    least = 7 - deployments.max_unavailable(deployment)
    most = 7 + deployments.max_surge(deployment)
    for _ in range(100):
        plan = deployments.plan(deployment, sets, old_pods_running=False)
        if plan.create is not None:
            sets.append(_set(deployment, 2, "v2", plan.create["spec"]["replicas"], 0))
        elif plan.scale:
            for found in sets:
                found["spec"]["replicas"] = plan.scale.get(meta.name(found), found["spec"]["replicas"])
                found["status"]["availableReplicas"] = min(
                    found["status"]["availableReplicas"], found["spec"]["replicas"]
                )
        else:
            waiting = [s for s in sets if s["status"]["availableReplicas"] < s["spec"]["replicas"]]
            if not waiting:
                break
            waiting[0]["status"]["availableReplicas"] += 1
        assert sum(found["spec"]["replicas"] for found in sets) <= most
        assert sum(found["status"]["availableReplicas"] for found in sets) >= least
    sizes = {meta.name(found): found["spec"]["replicas"] for found in sets}
    assert sizes == {"v1": 0, "v2": 7}


def test_a_new_revision_is_one_more_than_the_newest() -> None:
    deployment = _deployment({"replicas": 1, "template": "v1"})
    sets = [_set(deployment, 1, "v1", 0, 0), _set(deployment, 2, "v2", 1, 1)]
    plan = deployments.plan(deployment, sets, old_pods_running=False)
    assert plan.revision == "3"
    assert plan.annotate["v1"][deployments.REVISION] == "3"
    assert plan.annotate["v1"][deployments.REVISION_HISTORY] == "1"


def test_a_rollout_without_progress_says_so_after_its_deadline() -> None:
    deployment = _deployment({"replicas": 1, "template": "v1"})
    sets = [_set(deployment, 1, "v1", 1, 0)]
    deployment["status"], again = deployments.status(deployment, sets, NOW)
    assert meta.condition_is(deployment, "Progressing", "True")
    late = NOW + timedelta(seconds=601)
    deployment["status"], again = deployments.status(deployment, sets, NOW + timedelta(seconds=1))
    assert again is not None
    assert again > 598
    deployment["status"], again = deployments.status(deployment, sets, late)
    found = meta.condition(deployment, "Progressing")
    assert found is not None
    assert (found["status"], found["reason"], again) == ("False", "ProgressDeadlineExceeded", None)
