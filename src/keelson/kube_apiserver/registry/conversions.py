"""Built-in kinds that are served in a version other than the stored one.

Events are stored as core v1, whichever group wrote them; HorizontalPodAutoscalers as autoscaling/v2. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import orjson

from keelson.api.meta import Object
from keelson.api.resources import Resource


class BuiltIn(NamedTuple):
    """The stored version and the two ways."""

    stored: str
    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]


# events.k8s.io/v1 on the left, v1 on the right (API reference of both).
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS_BACK = {right: left for left, right in _EVENT_FIELDS.items()}


def _event_to_core(obj: Object) -> Object:
    return {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


def _event_from_core(obj: Object) -> Object:
    return {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()} | {"apiVersion": "events.k8s.io/v1"}


# What v2 can say and v1 can't travels in annotations, as the v1 API has always done.
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def _is_cpu_utilization(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    target = resource.get("target") or resource.get("current") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and "averageUtilization" in target


def _autoscaler_to_v2(obj: Object) -> Object:
    annotations = dict((obj.get("metadata") or {}).get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = orjson.loads(annotations.pop(_METRICS, "[]"))
    if (cpu := spec.pop("targetCPUUtilizationPercentage", None)) is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if _BEHAVIOR in annotations:
        spec["behavior"] = orjson.loads(annotations.pop(_BEHAVIOR))
    current = orjson.loads(annotations.pop(_CURRENT, "[]"))
    if (cpu := status.pop("currentCPUUtilizationPercentage", None)) is not None:
        current.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}})
    if current:
        status["currentMetrics"] = current
    if _CONDITIONS in annotations:
        status["conditions"] = orjson.loads(annotations.pop(_CONDITIONS))
    return _autoscaler(obj, "autoscaling/v2", spec, status, annotations)


def _autoscaler_from_v2(obj: Object) -> Object:
    annotations = dict((obj.get("metadata") or {}).get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        if _is_cpu_utilization(metric) and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
        else:
            others.append(metric)
    if others:
        annotations[_METRICS] = orjson.dumps(others).decode()
    if behavior := spec.pop("behavior", None):
        annotations[_BEHAVIOR] = orjson.dumps(behavior).decode()
    others = []
    for metric in status.pop("currentMetrics", None) or []:
        if _is_cpu_utilization(metric) and "currentCPUUtilizationPercentage" not in status:
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
        else:
            others.append(metric)
    if others:
        annotations[_CURRENT] = orjson.dumps(others).decode()
    if conditions := status.pop("conditions", None):
        annotations[_CONDITIONS] = orjson.dumps(conditions).decode()
    return _autoscaler(obj, "autoscaling/v1", spec, status, annotations)


def _autoscaler(obj: Object, api_version: str, spec: Object, status: Object, annotations: dict[str, str]) -> Object:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    converted: Object = {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec}
    if status:
        converted["status"] = status
    return converted


BUILT_IN: dict[tuple[str, str], BuiltIn] = {
    ("events.k8s.io/v1", "Event"): BuiltIn("v1", _event_to_core, _event_from_core),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): BuiltIn("autoscaling/v2", _autoscaler_to_v2, _autoscaler_from_v2),
}

# events.k8s.io/v1 names its selectable fields after its own schema; the cache knows the stored ones.
_EVENT_SELECTORS = {"regarding": "involvedObject", "reportingController": "reportingComponent"}


def selectable_field(resource: Resource, field: str) -> str:
    """The stored version's name of a field that a selector of this version names."""
    if resource.qualified != "events.events.k8s.io":
        return field
    head, dot, rest = field.partition(".")
    return _EVENT_SELECTORS.get(head, head) + dot + rest
