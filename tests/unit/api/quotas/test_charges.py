"""Whether quotas bear a write, and what they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.quotas import charges
from keelson.api.quotas.evaluators import CREATE, UPDATE, Write, evaluator

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quota(hard: Object, used: Object | None = None, name: str = "q", **spec: Any) -> Object:
    status = {"hard": hard, "used": used if used is not None else dict.fromkeys(hard, "0")}
    return {"metadata": {"name": name}, "spec": {"hard": hard, **spec}, "status": status}


def pod(requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}], **spec}}


def charge(quotas: list[Object], resource: str, obj: Object, old: Object | None = None, sub: str = "") -> list[Object]:
    write = Write(UPDATE if old is not None else CREATE, sub, obj, old, NOW)
    return charges.charged(quotas, evaluator(resource), write)


def refusal(quotas: list[Object], resource: str, obj: Object, old: Object | None = None) -> str:
    with pytest.raises(charges.RefusedError) as caught:
        charge(quotas, resource, obj, old)
    return str(caught.value)


def test_a_pod_is_charged_with_what_it_asks_for() -> None:
    before = quota({"cpu": "2", "requests.cpu": "2", "limits.memory": "1Gi", "pods": "3"})
    (after,) = charge([before], "pods", pod({"cpu": "500m"}, {"memory": "256Mi"}))
    assert charges.used(after) == {"cpu": "500m", "requests.cpu": "500m", "limits.memory": "256Mi", "pods": "1"}
    assert charges.used(before)["cpu"] == "0"


def test_the_refusal_says_what_was_asked_used_and_allowed() -> None:
    full = quota({"cpu": "1", "pods": "5"}, {"cpu": "750m", "pods": "1"}, "compute")
    want = "exceeded quota: compute, requested: cpu=500m, used: cpu=750m, limited: cpu=1"
    assert refusal([full], "pods", pod({"cpu": "500m"})) == want


def test_every_container_must_state_what_is_under_quota() -> None:
    assert refusal([quota({"cpu": "1", "limits.memory": "1Gi"})], "pods", pod()) == (
        "failed quota: q: must specify cpu for: c; limits.memory for: c"
    )
    whole = pod(resources={"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}})
    assert charges.used(charge([quota({"cpu": "1"})], "pods", whole)[0]) == {"cpu": "1"}


def test_a_quota_that_was_not_counted_yet_bears_nothing() -> None:
    unknown = quota({"pods": "1"}, {})
    assert refusal([unknown], "pods", pod()) == "status unknown for quota: q, resources: pods"


@pytest.mark.parametrize(
    ("scope", "spec", "matches"),
    [
        ("BestEffort", {}, True),
        ("NotBestEffort", {}, False),
        ("Terminating", {"activeDeadlineSeconds": 5}, True),
        ("Terminating", {}, False),
        ("NotTerminating", {}, True),
        ("PriorityClass", {"priorityClassName": "high"}, True),
        ("PriorityClass", {}, False),
        (
            "CrossNamespacePodAffinity",
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["a"]}]}}},
            True,
        ),
        ("CrossNamespacePodAffinity", {"affinity": {"podAntiAffinity": {}}}, False),
    ],
)
def test_a_scope_limits_only_what_is_in_it(scope: str, spec: Object, matches: bool) -> None:
    (after,) = charge([quota({"pods": "1"}, scopes=[scope])], "pods", pod(**spec))
    assert charges.used(after) == {"pods": "1" if matches else "0"}


@pytest.mark.parametrize(
    ("operator", "values", "name", "matches"),
    [
        ("In", ["high", "mid"], "high", True),
        ("In", ["high"], "low", False),
        ("NotIn", ["high"], "low", True),
        ("NotIn", ["high"], "", True),
        ("DoesNotExist", [], "", True),
        ("DoesNotExist", [], "low", False),
    ],
)
def test_a_scope_selector_chooses_by_priority_class(operator: str, values: list[str], name: str, matches: bool) -> None:
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}
    found = quota({"pods": "1"}, scopeSelector=selector)
    (after,) = charge([found], "pods", pod(priorityClassName=name) if name else pod())
    assert (charges.used(after) == {"pods": "1"}) is matches


def test_an_update_is_charged_with_its_growth() -> None:
    def claim(size: str) -> Object:
        return {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}}

    used = {"requests.storage": "4Gi", "persistentvolumeclaims": "1"}
    found = quota({"requests.storage": "10Gi", "persistentvolumeclaims": "1"}, used)
    (after,) = charge([found], "persistentvolumeclaims", claim("6Gi"), claim("4Gi"))
    assert charges.used(after) == {"requests.storage": "6Gi", "persistentvolumeclaims": "1"}
    assert charge([found], "persistentvolumeclaims", claim("2Gi"), claim("4Gi")) == [found]
    assert "requested: requests.storage=7Gi" in refusal([found], "persistentvolumeclaims", claim("11Gi"), claim("4Gi"))


def test_a_claim_is_charged_to_its_class_in_whole_bytes() -> None:
    name = "gold.storageclass.storage.k8s.io/requests.storage"
    claim = {
        "metadata": {"name": "c"},
        "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}},
    }
    assert charges.used(charge([quota({name: "10"})], "persistentvolumeclaims", claim)[0]) == {name: "2"}


def test_a_service_that_becomes_a_node_port_is_charged_for_it() -> None:
    def service(kind: str, **more: Any) -> Object:
        return {"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{"port": 1}, {"port": 2}], **more}}

    found = quota({"services.nodeports": "2", "services.loadbalancers": "0", "services": "9"})
    (after,) = charge([found], "services", service("NodePort"), service("ClusterIP"))
    assert charges.used(after)["services.nodeports"] == "2"
    assert charges.used(after)["services"] == "0"
    balanced = service("LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert refusal([found], "services", balanced) == (
        "exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, "
        "limited: services.loadbalancers=0"
    )


def test_objects_of_any_resource_are_counted_by_name() -> None:
    found = quota({"count/widgets.example.com": "1"})
    (after,) = charge([found], "widgets.example.com", {"metadata": {"name": "w"}})
    assert refusal([after], "widgets.example.com", {}).startswith("exceeded quota: q, requested: count/widgets")
    assert charges.used(charge([quota({"configmaps": "1"})], "configmaps", {})[0]) == {"configmaps": "1"}


def test_extended_resources_and_huge_pages_are_charged_as_requests() -> None:
    hard = {"requests.example.com/gpu": "4", "hugepages-2Mi": "8Mi", "requests.hugepages-2Mi": "8Mi"}
    asked = {"example.com/gpu": "3", "hugepages-2Mi": "4Mi"}
    (after,) = charge([quota(hard)], "pods", pod(asked, asked))
    assert charges.used(after) == {
        "requests.example.com/gpu": "3", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi"
    }  # fmt: skip


def test_what_is_limited_by_configuration_needs_a_quota() -> None:
    limited = [{"resource": "pods", "matchContains": ["example.com/gpu"]}]
    write = Write(CREATE, "", pod({"example.com/gpu": "1"}), None, NOW)
    with pytest.raises(charges.RefusedError, match=r"insufficient quota to consume: requests.example.com/gpu"):
        charges.charged([], evaluator("pods"), write, limited)
    covering = quota({"requests.example.com/gpu": "1"})
    assert charges.charged([covering], evaluator("pods"), write, limited) != [covering]


def test_a_scope_limited_by_configuration_needs_a_quota_of_it() -> None:
    limited = [{"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]}]
    write = Write(CREATE, "", pod(priorityClassName="x"), None, NOW)
    with pytest.raises(charges.RefusedError, match="insufficient quota to match these scopes"):
        charges.charged([quota({"services": "1"})], evaluator("pods"), write, limited)


def test_counting_leaves_out_what_is_finished_or_overdue() -> None:
    done = {**pod({"cpu": "1"}), "status": {"phase": "Succeeded"}}
    overdue = pod({"cpu": "1"})
    overdue["metadata"] |= {
        "deletionTimestamp": meta.format_time(NOW - timedelta(seconds=31)),
        "deletionGracePeriodSeconds": 30,
    }
    found = quota({"pods": "9", "count/pods": "9", "cpu": "9", "example.com/x": "1"}, {"example.com/x": "1"})
    status = charges.counted(found, [(evaluator("pods"), [done, overdue, pod({"cpu": "2"})])], NOW)
    assert status["used"] == {"pods": "1", "count/pods": "3", "cpu": "2", "example.com/x": "1"}
