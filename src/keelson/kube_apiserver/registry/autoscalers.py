"""HorizontalPodAutoscalers of autoscaling/v1, which are kept as autoscaling/v2.

v1 knows one metric, the use of CPU. What else v2 says travels in annotations, in notations that upstream has kept since
they were first written: metrics as autoscaling/v1's MetricSpec, behavior with the field names of Go. Pure.
"""

from __future__ import annotations

from typing import Any

import orjson

from keelson.api.meta import Object

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_ANNOTATIONS = frozenset({_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR})
# What is wanted where nothing else is said, of each pod's request.
_DEFAULT_CPU = 80

# A source's field of v2 and its names in v1's specification and status.
_UTILIZATION = ("averageUtilization", "targetAverageUtilization", "currentAverageUtilization")
_AVERAGE = ("averageValue", "targetAverageValue", "currentAverageValue")
_VALUE = ("value", "targetValue", "currentValue")
_OBJECT_AVERAGE = ("averageValue", "averageValue", "averageValue")
# By type of metric: its field, the values it may have, those that v1 always states, and the selector's name.
_SOURCES: dict[str, tuple[str, tuple[tuple[str, str, str], ...], frozenset[str], str]] = {
    "Resource": ("resource", (_UTILIZATION, _AVERAGE), frozenset({"currentAverageValue"}), ""),
    "ContainerResource": ("containerResource", (_UTILIZATION, _AVERAGE), frozenset({"currentAverageValue"}), ""),
    "Pods": ("pods", (_AVERAGE,), frozenset({"targetAverageValue", "currentAverageValue"}), "selector"),
    "Object": ("object", (_VALUE, _OBJECT_AVERAGE), frozenset({"targetValue", "currentValue"}), "selector"),
    "External": ("external", (_VALUE, _AVERAGE), frozenset({"currentValue"}), "metricSelector"),
}
# Where External has its selector: before its values; others have theirs after the first.
_ORDER = (
    "target",
    "metricName",
    "metricSelector",
    "name",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetValue",
    "currentValue",
    "targetAverageValue",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
)


def _metric_to_v1(metric: Object, *, status: bool) -> Object:
    type_ = metric["type"]
    if type_ not in _SOURCES:
        return metric
    field, values, always, selector = _SOURCES[type_]
    source = metric.get(field) or {}
    target = source.get("current" if status else "target") or {}
    made: Object = {}
    if type_ == "Object":
        made["target"] = source.get("describedObject") or {}
    if selector:
        made["metricName"] = (source.get("metric") or {}).get("name") or ""
        if (found := (source.get("metric") or {}).get("selector")) is not None:
            made[selector] = found
    else:
        made["name"] = source.get("name") or ""
    for v2, spec_name, status_name in values:
        name = status_name if status else spec_name
        if v2 in target:
            made[name] = target[v2]
        elif name in always:
            made[name] = "0"
    if type_ == "ContainerResource":
        made["container"] = source.get("container") or ""
    # Go's order of fields, since clients compare the annotation's text.
    made = {name: made[name] for name in _ORDER if name in made}
    return {"type": type_, field: made}


def _target_type(made: Object) -> str:
    if "averageUtilization" in made:
        return "Utilization"
    return "AverageValue" if "averageValue" in made else "Value"


def _metric_to_v2(metric: Object, *, status: bool) -> Object:
    type_ = metric["type"]
    if type_ not in _SOURCES:
        return metric
    field, values, _, selector = _SOURCES[type_]
    source = metric.get(field) or {}
    target: Object = {}
    for v2, spec_name, status_name in values:
        name = status_name if status else spec_name
        if name in source:
            target[v2] = source[name]
    if type_ == "Object" and not status and "averageValue" in target and target.get("value") in ("0", 0):
        # v1 can't leave it out, and v2 doesn't take both.
        del target["value"]
    made: Object = {}
    if type_ == "Object":
        made["describedObject"] = source.get("target") or {}
    if selector:
        made["metric"] = {"name": source.get("metricName") or ""}
        if selector in source:
            made["metric"]["selector"] = source[selector]
    else:
        made["name"] = source.get("name") or ""
    if type_ == "ContainerResource":
        made["container"] = source.get("container") or ""
    made["current" if status else "target"] = target if status else {"type": _target_type(target), **target}
    return {"type": type_, field: made}


def _behavior_to_v1(behavior: Object) -> Object:
    """Go's names, and every field, be it null."""

    def rules(value: Any) -> Any:
        if value is None:
            return None
        policies = value.get("policies")
        return {
            "StabilizationWindowSeconds": value.get("stabilizationWindowSeconds"),
            "SelectPolicy": value.get("selectPolicy"),
            "Policies": None
            if policies is None
            else [{"Type": p["type"], "Value": p["value"], "PeriodSeconds": p["periodSeconds"]} for p in policies],
            "Tolerance": value.get("tolerance"),
        }

    return {"ScaleUp": rules(behavior.get("scaleUp")), "ScaleDown": rules(behavior.get("scaleDown"))}


def _behavior_to_v2(value: Any) -> Any:
    """Names as JSON has them, without nulls. Go reads names in any case."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _behavior_to_v2(child) for key, child in value.items() if child is not None}
    return [_behavior_to_v2(child) for child in value] if isinstance(value, list) else value


def _is_cpu_utilization(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    target = resource.get("target") or resource.get("current") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and "averageUtilization" in target


def _read(annotations: dict[str, str], name: str, default: str) -> Any:
    """What an annotation says; what can't be read says nothing, as upstream has it."""
    text = annotations.pop(name, default)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, type(orjson.loads(default))) else orjson.loads(default)


def _typed(metrics: Any) -> list[Object]:
    return [each for each in metrics if isinstance(each, dict) and isinstance(each.get("type"), str)]


def to_v2(obj: Object) -> Object:
    """An autoscaler of v1 as one of v2."""
    annotations = dict((obj.get("metadata") or {}).get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = [_metric_to_v2(each, status=False) for each in _typed(_read(annotations, _METRICS, "[]"))]
    cpu = spec.pop("targetCPUUtilizationPercentage", None)
    if cpu is None and not metrics:
        cpu = _DEFAULT_CPU
    if cpu is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    spec["metrics"] = metrics
    if behavior := _behavior_to_v2(_read(annotations, _BEHAVIOR, "{}")):
        spec["behavior"] = behavior
    current = [_metric_to_v2(each, status=True) for each in _typed(_read(annotations, _CURRENT, "[]"))]
    cpu = status.pop("currentCPUUtilizationPercentage", None)
    if not current and cpu is not None:
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}}]
    status["currentMetrics"] = current or None
    if not status.get("currentReplicas"):
        # v1 says it in any case, v2 only where there are any.
        status.pop("currentReplicas", None)
    if conditions := _typed(_read(annotations, _CONDITIONS, "[]")):
        status["conditions"] = conditions
    return _made(obj, "autoscaling/v2", spec, status, annotations)


def from_v2(obj: Object) -> Object:
    """An autoscaler of v2 as one of v1."""
    found = (obj.get("metadata") or {}).get("annotations") or {}
    annotations = {key: value for key, value in found.items() if key not in _ANNOTATIONS}
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        if _is_cpu_utilization(metric):
            spec.setdefault("targetCPUUtilizationPercentage", metric["resource"]["target"]["averageUtilization"])
        else:
            others.append(_metric_to_v1(metric, status=False))
    if others:
        annotations[_METRICS] = orjson.dumps(others).decode()
    if behavior := spec.pop("behavior", None):
        annotations[_BEHAVIOR] = orjson.dumps(_behavior_to_v1(behavior)).decode()
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        if _is_cpu_utilization(metric):
            status.setdefault("currentCPUUtilizationPercentage", metric["resource"]["current"]["averageUtilization"])
    if current:
        annotations[_CURRENT] = orjson.dumps([_metric_to_v1(each, status=True) for each in current]).decode()
    if conditions := status.pop("conditions", None):
        annotations[_CONDITIONS] = orjson.dumps(conditions).decode()
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return _made(obj, "autoscaling/v1", spec, status, annotations)


def _made(obj: Object, api_version: str, spec: Object, status: Object, annotations: dict[str, str]) -> Object:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    converted: Object = {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec}
    if status:
        converted["status"] = status
    return converted
