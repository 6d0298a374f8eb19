"""LimitRanges and ResourceQuotas: upstream's cases (core/validation TestValidateLimitRange*, *ResourceQuota*)."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.validation import limits


def limited(**item: Any) -> list[str]:
    return [found["message"] for found in limits.create_limit_range({"spec": {"limits": [item]}})]


def quota(hard: dict[str, str], **spec: Any) -> list[str]:
    return [found["message"] for found in limits.create_quota({"spec": {"hard": hard, **spec}})]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "Pod", "max": {"cpu": "100m"}, "min": {"cpu": "5m"}, "maxLimitRequestRatio": {"cpu": "10"}},
        {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "Container", "default": {"example.com/a": "2"}, "defaultRequest": {"example.com/a": "2"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "10Gi"}, "min": {"storage": "5Gi"}},
        {"type": "thirdparty.com/foo", "max": {"thirdparty.com/bar": "1"}},
    ],
)
def test_a_sound_limit_is_let_through(item: dict[str, Any]) -> None:
    assert limited(**item) == []


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ({"type": ""}, "name part must be non-empty"),
        ({"type": "Gadget"}, "must be a standard limit type or fully qualified"),
        ({"type": "Container", "max": {"storage": "1"}}, "must be a standard resource for containers"),
        ({"type": "Container", "max": {"gadgets": "1"}}, "must be a standard resource type or fully qualified"),
        ({"type": "Pod", "default": {"cpu": "1"}}, "may not be specified when `type` is 'Pod'"),
        ({"type": "PersistentVolumeClaim"}, "either minimum or maximum storage value is required"),
        ({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}, "min value 2 is greater than max value 1"),
        (
            {"type": "Container", "defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}},
            "default request value 2 is greater than default limit value 1",
        ),
        (
            {"type": "Container", "default": {"example.com/a": "2"}, "defaultRequest": {"example.com/a": "1"}},
            "must equal to defaultRequest value 1 in example.com/a",
        ),
        ({"type": "Pod", "maxLimitRequestRatio": {"memory": "800m"}}, "ratio 800m is less than 1"),
        (
            {
                "type": "Pod",
                "min": {"memory": "1Gi"},
                "max": {"memory": "2Gi"},
                "maxLimitRequestRatio": {"memory": "3"},
            },
            "ratio 3 is greater than max/min = 2.000000",
        ),
    ],
)
def test_a_limit_that_nothing_could_keep_is_refused(item: dict[str, Any], complaint: str) -> None:
    assert any(complaint in found for found in limited(**item)), limited(**item)


def test_a_type_is_limited_once() -> None:
    item = {"type": "Pod", "max": {"cpu": "1"}}
    found = limits.create_limit_range({"spec": {"limits": [item, item]}})
    assert [cause["message"] for cause in found] == ['Duplicate value: "Pod"']


@pytest.mark.parametrize(
    ("hard", "spec"),
    [
        ({"cpu": "100", "requests.memory": "1Gi", "pods": "10", "count/jobs.batch": "3", "hugepages-2Mi": "4Mi"}, {}),
        ({"requests.example.com/gpu": "2", "services.nodeports": "1"}, {}),
        ({"pods": "1", "limits.cpu": "2"}, {"scopes": ["Terminating", "NotBestEffort"]}),
        ({"pods": "1"}, {"scopes": ["BestEffort"]}),
        (
            {"pods": "1"},
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]
                }
            },
        ),
        ({"requests.storage": "1Gi"}, {"scopes": ["VolumeAttributesClass"]}),
    ],
)
def test_a_sound_quota_is_let_through(hard: dict[str, str], spec: dict[str, Any]) -> None:
    assert quota(hard, **spec) == []


def expressed(**expression: Any) -> dict[str, Any]:
    return {"scopeSelector": {"matchExpressions": [expression]}}


@pytest.mark.parametrize(
    ("hard", "spec", "complaint"),
    [
        ({"gadgets": "1"}, {}, "must be a standard resource for quota"),
        ({"storage": "1"}, {}, "must be a standard resource for quota"),
        ({"cpu": "-1"}, {}, "must be greater than or equal to 0"),
        ({"pods": "500m"}, {}, "must be an integer"),
        ({"pods": "1"}, {"scopes": ["Gadget"]}, "unsupported scope"),
        ({"services": "1"}, {"scopes": ["Terminating"]}, "unsupported scope applied to resource"),
        ({"cpu": "1"}, {"scopes": ["BestEffort"]}, "unsupported scope applied to resource"),
        ({"pods": "1"}, {"scopes": ["Terminating", "NotTerminating"]}, "conflicting scopes"),
        ({"pods": "1"}, expressed(scopeName="BestEffort", operator="In", values=["a"]), "must be 'Exists' when scope"),
        ({"pods": "1"}, expressed(scopeName="PriorityClass", operator="In"), "must be at least one value"),
        (
            {"pods": "1"},
            expressed(scopeName="PriorityClass", operator="Exists", values=["a"]),
            "must be no value",
        ),
        ({"pods": "1"}, expressed(scopeName="PriorityClass", operator="Is"), "not a valid selector operator"),
    ],
)
def test_a_quota_that_counts_what_it_can_not_is_refused(hard: dict[str, str], spec: Any, complaint: str) -> None:
    assert any(complaint in found for found in quota(hard, **spec)), quota(hard, **spec)


def test_the_use_that_is_written_down_is_checked_too() -> None:
    found = limits.update_quota_status({"status": {"used": {"pods": "-1"}}}, {})
    assert [cause["field"] for cause in found] == ["status.used[pods]"]
