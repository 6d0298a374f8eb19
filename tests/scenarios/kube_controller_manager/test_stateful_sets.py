"""StatefulSets, step by step; and that a rollout ends with every pod new, one at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import stateful_sets
from keelson.kube_controller_manager.decisions.revisions import History

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CASES = yaml.safe_load(Path(__file__).with_name("stateful_sets.yaml").read_text(encoding="utf-8"))
_STATES = {
    "ready": ("Running", True, False),
    "unready": ("Running", False, False),
    "pending": ("Pending", False, False),
    "ended": ("Failed", False, False),
    "going": ("Running", True, True),
}


def _template(version: str) -> Object:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": version}]}}


def _revision(version: str, number: int) -> Object:
    data = {"spec": {"template": {**_template(version), "$patch": "replace"}}}
    return {"metadata": {"name": f"web-{version}"}, "data": data, "revision": number}


def _set(case: dict[str, Any]) -> Object:
    strategy: Object = {"type": case.get("type", "RollingUpdate")}
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = {"partition": case.get("partition", 0)}
        if "maxUnavailable" in case:
            strategy["rollingUpdate"]["maxUnavailable"] = case["maxUnavailable"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "set",
            **({"deletionTimestamp": meta.format_time(NOW)} if case.get("deleted") else {}),
        },
        "spec": {
            "replicas": case["replicas"],
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": _template(case["template"]),
            "podManagementPolicy": case.get("policy", "OrderedReady"),
            "updateStrategy": strategy,
            "ordinals": {"start": case.get("start", 0)},
            "volumeClaimTemplates": [{"metadata": {"name": name}, "spec": {}} for name in case.get("claims", [])],
        },
    }


def _pod(number: int, version: str, state: str) -> Object:
    phase, ready, going = _STATES[state]
    metadata: Object = {
        "name": f"web-{number}",
        "namespace": "default",
        "uid": f"pod-{number}",
        "labels": {
            "app": "web",
            stateful_sets.REVISION_LABEL: f"web-{version}",
            stateful_sets.NAME_LABEL: f"web-{number}",
        },
    }
    if going:
        metadata["deletionTimestamp"] = meta.format_time(NOW)
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": meta.format_time(NOW)}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "conditions": [condition]}}


def _history(case: dict[str, Any]) -> History:
    return History(_revision(case.get("current", case["template"]), 1), _revision(case["template"], 2))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_next_step(case: dict[str, Any]) -> None:
    pods = [_pod(*entry) for entry in case["pods"]]
    claims = {name: {"metadata": {"name": name, "namespace": "default"}} for name in case.get("existing", [])}
    plan = stateful_sets.plan(_set(case["set"]), _history(case["set"]), pods, claims, NOW)
    found = {
        "create": [[stateful_sets.ordinal(_set(case["set"]), pod), _version(pod)] for pod in plan.create],
        "delete": [stateful_sets.ordinal(_set(case["set"]), pod) for pod in plan.delete],
        "claims": [meta.name(claim) for claim in plan.claims],
    }
    assert {name: value for name, value in found.items() if value} == case["then"]


def _version(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def test_a_pod_has_its_name_its_number_and_its_claims() -> None:
    case = {"replicas": 1, "template": "v1", "claims": ["data"]}
    pod = stateful_sets.pod_for(_set(case), _history(case), 0)
    assert meta.labels(pod) == {
        "app": "web",
        "statefulset.kubernetes.io/pod-name": "web-0",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": "web-v1",
    }
    assert pod["spec"]["hostname"] == "web-0"
    assert pod["spec"]["subdomain"] == "web"
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}]


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_a_rollout_ends_with_every_pod_new_and_never_loses_two(policy: str) -> None:
    case = {"replicas": 3, "template": "v2", "current": "v1", "policy": policy}
    stateful_set, history = _set(case), _history(case)
    pods = {number: _pod(number, "v1", "ready") for number in range(3)}
    for _ in range(40):
        plan = stateful_sets.plan(stateful_set, history, list(pods.values()), {}, NOW)
        for pod in plan.delete:
            del pods[stateful_sets.ordinal(stateful_set, pod)]
        for pod in plan.create:
            number = stateful_sets.ordinal(stateful_set, pod)
            assert number not in pods
            pods[number] = _pod(number, _version(pod), "pending")
        assert sum(pod["status"]["phase"] == "Running" for pod in pods.values()) >= 2
        if not plan.delete and not plan.create:
            waiting = [number for number, pod in pods.items() if pod["status"]["phase"] == "Pending"]
            if not waiting:
                break
            pods[waiting[0]] = _pod(waiting[0], "v2", "ready")
    status = stateful_sets.status(stateful_set, history, list(pods.values()), NOW)
    assert {meta.labels(pod)[stateful_sets.REVISION_LABEL] for pod in pods.values()} == {"web-v2"}
    assert (status["currentRevision"], status["updatedReplicas"], status["currentReplicas"]) == ("web-v2", 3, 3)


@pytest.mark.parametrize(
    ("deleted", "scaled", "number", "owner"),
    [
        ("Retain", "Retain", 0, None),
        ("Delete", "Retain", 0, "StatefulSet"),
        ("Delete", "Retain", 1, "StatefulSet"),
        ("Retain", "Delete", 0, None),
        ("Retain", "Delete", 1, "Pod"),
        ("Delete", "Delete", 0, "StatefulSet"),
        ("Delete", "Delete", 1, "Pod"),
    ],
)
def test_a_claim_belongs_to_what_it_goes_with(deleted: str, scaled: str, number: int, owner: str | None) -> None:
    stateful_set = _set({"replicas": 1, "template": "v1", "claims": ["data"]})
    stateful_set["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": deleted, "whenScaled": scaled}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}
    # A claim that somebody gave to the set by hand, so that every policy has something to change.
    wrong = {**meta.owner_reference(stateful_set), "controller": False}
    name = f"data-web-{number}"
    claims = {name: {"metadata": {"name": name, "namespace": "default", "ownerReferences": [other, wrong]}}}
    pods = [_pod(each, "v1", "ready") for each in range(number + 1)]
    plan = stateful_sets.plan(stateful_set, _history({"template": "v1"}), pods, claims, NOW)
    owners = plan.owners[name]
    assert owners[0] == other
    assert [found["kind"] for found in owners[1:]] == ([owner] if owner else [])


def test_no_pod_is_made_beside_a_claim_that_goes_with_the_last_one() -> None:
    stateful_set = _set({"replicas": 1, "template": "v1", "claims": ["data"]})
    stateful_set["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "earlier"}
    claims = {"data-web-0": {"metadata": {"name": "data-web-0", "ownerReferences": [owner]}}}
    plan = stateful_sets.plan(stateful_set, _history({"template": "v1"}), [], claims, NOW)
    assert plan.create == []
