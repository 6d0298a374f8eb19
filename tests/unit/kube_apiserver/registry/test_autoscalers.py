"""Autoscalers of v1: what v1 has no field for travels in annotations, and comes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from keelson.kube_apiserver.registry import autoscalers

PREFIX = "autoscaling.alpha.kubernetes.io/"
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
SELECTOR = {"matchLabels": {"a": "b"}}
METRICS = [
    {"type": "Pods", "pods": {"metric": {"name": "rate"}, "target": {"type": "AverageValue", "averageValue": "100m"}}},
    {
        "type": "External",
        "external": {"metric": {"name": "queue", "selector": SELECTOR}, "target": {"type": "Value", "value": "30"}},
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s"},
            "metric": {"name": "hits"},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "memory",
            "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 7},
        },
    },
]


def autoscaler(metrics: list[Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "metrics": metrics, **spec},
        "status": {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": None},
    }


@pytest.mark.parametrize("metrics", [[CPU], METRICS, [*METRICS, CPU]])
def test_metrics_come_back(metrics: list[Any]) -> None:
    policies = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies}}
    obj = autoscaler(metrics, behavior=behavior)
    old = autoscalers.from_v2(obj)
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"].get("targetCPUUtilizationPercentage") == (60 if CPU in metrics else None)
    assert autoscalers.to_v2(old) == obj


def test_annotations_are_written_as_they_always_were() -> None:
    found = autoscalers.from_v2(autoscaler(METRICS[:3], behavior={"scaleUp": {"policies": None}}))
    annotations = found["metadata"]["annotations"]
    assert orjson.loads(annotations[f"{PREFIX}metrics"]) == [
        {"type": "Pods", "pods": {"metricName": "rate", "targetAverageValue": "100m"}},
        {"type": "External", "external": {"metricName": "queue", "metricSelector": SELECTOR, "targetValue": "30"}},
        {
            "type": "Object",
            "object": {
                "target": {"kind": "Service", "name": "s"},
                "metricName": "hits",
                "targetValue": "0",
                "averageValue": "5",
            },
        },
    ]
    assert annotations[f"{PREFIX}behavior"] == (
        '{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":null,"Policies":null,"Tolerance":null},'
        '"ScaleDown":null}'
    )


def test_one_that_wants_nothing_wants_the_usual_of_cpu() -> None:
    old = {"apiVersion": "autoscaling/v1", "metadata": {"name": "a"}, "spec": {"maxReplicas": 3}}
    metric = autoscalers.to_v2(old)["spec"]["metrics"][0]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}


def test_status_says_the_use_of_cpu_twice() -> None:
    obj = autoscaler([CPU])
    current = {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": 5, "averageValue": "1m"}},
    }
    condition = {"type": "AbleToScale", "status": "True"}
    obj["status"] |= {"currentMetrics": [current], "conditions": [condition]}
    old = autoscalers.from_v2(obj)
    assert old["status"] == {"currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 5}
    assert autoscalers.to_v2(old)["status"] == obj["status"]


@pytest.mark.parametrize("text", ["", "{", "{}", "5", '["x"]', '[{"no": "type"}]', '[{"type": "Pods"}]', "null"])
def test_annotations_of_strangers_do_no_harm(text: str) -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "a", "annotations": {f"{PREFIX}{name}": text for name in ("metrics", "behavior")}},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 5},
    }
    assert autoscalers.to_v2(old)["spec"]["metrics"][-1]["resource"]["target"]["averageUtilization"] == 5


def test_v2_says_how_many_there_are_only_where_there_are_any() -> None:
    old = autoscalers.from_v2(autoscaler([CPU]) | {"status": {"desiredReplicas": 0}})
    assert old["status"] == {"currentReplicas": 0, "desiredReplicas": 0}
    assert autoscalers.to_v2(old)["status"] == {"desiredReplicas": 0, "currentMetrics": None}
