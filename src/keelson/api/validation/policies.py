"""The rules for disruption budgets, autoscalers and flow control (policy/v1, autoscaling, flowcontrol)."""

from __future__ import annotations

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import causes, names, selectors
from keelson.api.validation.causes import Causes
from keelson.api.validation.workloads import int_or_percent

_EVICTIONS = ("IfHealthyBudget", "AlwaysAllow")
_METRICS = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}


def create_budget(obj: Object) -> Causes:
    """A PodDisruptionBudget: one bound, not two."""
    out: Causes = []
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        detail = "minAvailable and maxUnavailable cannot be both set"
        out.append(causes.invalid("spec", {k: spec[k] for k in ("minAvailable", "maxUnavailable")}, detail))
    for field in ("minAvailable", "maxUnavailable"):
        int_or_percent(out, f"spec.{field}", spec.get(field))
    selectors.label_selector(out, "spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _EVICTIONS:
        out.append(causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, _EVICTIONS))
    return out


def _scale_target(out: Causes, spec: Object) -> None:
    least, greatest = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        out.append(causes.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if greatest < 1:
        out.append(causes.invalid("spec.maxReplicas", greatest, "must be greater than 0"))
    elif least is not None and greatest < least:
        out.append(causes.invalid("spec.maxReplicas", greatest, "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not target.get(field):
            out.append(causes.required(f"spec.scaleTargetRef.{field}"))


def create_autoscaler_v1(obj: Object) -> Causes:
    """An autoscaling/v1 HorizontalPodAutoscaler."""
    out: Causes = []
    _scale_target(out, obj.get("spec") or {})
    return out


def create_autoscaler_v2(obj: Object) -> Causes:
    """An autoscaling/v2 HorizontalPodAutoscaler."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _scale_target(out, spec)
    for index, metric in enumerate(spec.get("metrics") or ()):
        path = f"spec.metrics[{index}]"
        kind = metric.get("type")
        if kind not in _METRICS:
            causes.one_of(out, f"{path}.type", kind, _METRICS)
        elif metric.get(_METRICS[kind]) is None:
            detail = f"must populate information for the given metric source ({_METRICS[kind]})"
            out.append(causes.required(f"{path}.{_METRICS[kind]}", detail))
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            _scaling_rules(out, f"spec.behavior.{direction}", rules)
    return out


def _scaling_rules(out: Causes, path: str, rules: Object) -> None:
    window = rules.get("stabilizationWindowSeconds")
    causes.non_negative(out, f"{path}.stabilizationWindowSeconds", window)
    if window is not None and window > 3600:
        detail = "must be less than or equal to 3600"
        out.append(causes.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    if rules.get("selectPolicy", "Max") not in ("Max", "Min", "Disabled"):
        out.append(causes.unsupported(f"{path}.selectPolicy", rules["selectPolicy"], ("Max", "Min", "Disabled")))
    if not rules.get("policies"):
        out.append(causes.required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        where = f"{path}.policies[{index}]"
        causes.one_of(out, f"{where}.type", policy.get("type"), ("Pods", "Percent"))
        for field, most in (("value", 2**31 - 1), ("periodSeconds", 1800)):
            value = policy.get(field) or 0
            if not 0 < value <= most:
                detail = "must be greater than zero" if value <= 0 else f"must be less than or equal to {most}"
                out.append(causes.invalid(f"{where}.{field}", value, detail))


def create_flow_schema(obj: Object) -> Causes:
    """A FlowSchema."""
    out: Causes = []
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    if not 1 <= precedence <= 10000:
        out.append(causes.invalid("spec.matchingPrecedence", precedence, "must be in the range 1-10000"))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    if not level:
        out.append(causes.required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    elif names.dns_subdomain(level):
        path = "spec.priorityLevelConfiguration.name"
        out.append(causes.invalid(path, level, names.dns_subdomain(level)))
    method = (spec.get("distinguisherMethod") or {}).get("type")
    if "distinguisherMethod" in spec:
        causes.one_of(out, "spec.distinguisherMethod.type", method, ("ByUser", "ByNamespace"))
    for index, rule in enumerate(spec.get("rules") or ()):
        if not rule.get("subjects"):
            out.append(causes.required(f"spec.rules[{index}].subjects", "subjects must contain at least one value"))
        if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
            detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
            out.append(causes.required(f"spec.rules[{index}]", detail))
    return out


def create_priority_level(obj: Object) -> Causes:
    """A PriorityLevelConfiguration."""
    out: Causes = []
    spec = obj.get("spec") or {}
    kind = spec.get("type")
    causes.one_of(out, "spec.type", kind, ("Exempt", "Limited"))
    if (meta.name(obj) == "exempt") != (kind == "Exempt"):
        detail = "must be 'Exempt' if and only if `name` is 'exempt'"
        out.append(causes.invalid("spec.type", kind, detail))
    if kind == "Limited":
        limited = spec.get("limited")
        if limited is None:
            out.append(causes.required("spec.limited", "must not be empty when type is Limited"))
            return out
        causes.non_negative(out, "spec.limited.nominalConcurrencyShares", limited.get("nominalConcurrencyShares"))
        response = (limited.get("limitResponse") or {}).get("type")
        causes.one_of(out, "spec.limited.limitResponse.type", response, ("Queue", "Reject"))
    return out


_FLOW = "flowcontrol.apiserver.k8s.io/v1"
CREATE = {
    ("policy/v1", "PodDisruptionBudget"): create_budget,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): create_autoscaler_v1,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): create_autoscaler_v2,
    (_FLOW, "FlowSchema"): create_flow_schema,
    (_FLOW, "PriorityLevelConfiguration"): create_priority_level,
}
