"""What limit ranges give and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kube_apiserver.admission.limit_ranges import ANNOTATION, apply_defaults, violations


def limits(type_: str, **fields: Any) -> Object:
    return {"metadata": {"name": "l"}, "spec": {"limits": [{"type": type_, **fields}]}}


def pod(requests: Object, bounds: Object) -> Object:
    container = {"name": "c", "resources": {"requests": requests, "limits": bounds}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container]}}


def test_containers_get_what_they_leave_open() -> None:
    found = limits("Container", default={"cpu": "1", "memory": "1Gi"}, defaultRequest={"cpu": "500m"})
    obj = pod({"cpu": "100m"}, {"cpu": "200m"})
    obj["spec"]["initContainers"] = [{"name": "i"}]
    apply_defaults(found, obj)
    assert obj["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "100m"},
        "limits": {"cpu": "200m", "memory": "1Gi"},
    }
    assert obj["spec"]["initContainers"][0]["resources"] == {
        "requests": {"cpu": "500m"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    assert obj["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: memory limit for container c; cpu request for init container i; "
        "cpu, memory limit for init container i"
    )


def test_what_states_everything_is_left_alone() -> None:
    obj = pod({"cpu": "1"}, {"cpu": "1"})
    apply_defaults(limits("Container", default={"cpu": "2"}, defaultRequest={"cpu": "2"}), obj)
    assert "annotations" not in obj["metadata"]


@pytest.mark.parametrize(
    ("found", "requests", "bounds", "message"),
    [
        ({"min": {"cpu": "1"}}, {"cpu": "1"}, {}, ""),
        ({"min": {"cpu": "1"}}, {}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({"min": {"cpu": "1"}}, {"cpu": "999m"}, {}, "minimum cpu usage per Container is 1, but request is 999m"),
        ({"max": {"cpu": "1"}}, {}, {"cpu": "1"}, ""),
        ({"max": {"cpu": "1"}}, {"cpu": "1"}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"max": {"cpu": "1"}}, {}, {"cpu": "2"}, "maximum cpu usage per Container is 1, but limit is 2"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "2"}, ""),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {"cpu": "3"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {},
            {"cpu": "3"},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
    ],
)
def test_bounds_of_a_container(found: Object, requests: Object, bounds: Object, message: str) -> None:
    assert violations(limits("Container", **found), "pods", pod(requests, bounds)) == ([message] if message else [])


def test_a_pod_is_bounded_in_all() -> None:
    obj = pod({"cpu": "1"}, {"cpu": "1"})
    obj["spec"]["containers"].append({"name": "d", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}})
    found = limits("Pod", max={"cpu": "1500m"})
    assert violations(found, "pods", obj) == ["maximum cpu usage per Pod is 1500m, but limit is 2"]


def test_a_claim_is_bounded_by_what_it_requests() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    found = limits("PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})
    assert violations(found, "persistentvolumeclaims", claim) == [
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    ]
