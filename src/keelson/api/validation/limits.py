"""The rules for limits on tenants (core/v1 LimitRange, ResourceQuota)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import causes, names, resources
from keelson.api.validation.causes import Causes

_COMPUTE = frozenset(("cpu", "memory", "ephemeral-storage"))
_COUNTED = frozenset(
    (
        "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets",
        "services", "services.loadbalancers", "services.nodeports",
    )
)  # fmt: skip
_QUOTA = frozenset(
    (*_COMPUTE, *_COUNTED, *(f"{side}.{name}" for side in ("limits", "requests") for name in _COMPUTE))
) | {"requests.storage"}
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")
_POD_SCOPED = frozenset(
    ("pods", *(f"{side}{name}" for side in ("", "limits.", "requests.") for name in ("cpu", "memory")))
)
# What a quota of each scope may count; of the resources that are none of these, any.
_SCOPES: Mapping[str, frozenset[str]] = {
    "BestEffort": frozenset(("pods",)),
    "CrossNamespacePodAffinity": _POD_SCOPED,
    "NotBestEffort": _POD_SCOPED,
    "NotTerminating": _POD_SCOPED,
    "PriorityClass": _POD_SCOPED,
    "Terminating": _POD_SCOPED,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
_ONLY_EXISTS = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = (frozenset(("BestEffort", "NotBestEffort")), frozenset(("Terminating", "NotTerminating")))


def _resource_name(name: str) -> str:
    """The complaint about a resource's name, "" where it is one."""
    complaint = names.qualified_name(name)
    if complaint:
        return complaint
    if "/" not in name and name not in _QUOTA and name != "storage" and not name.startswith(_HUGE_PAGES):
        return "must be a standard resource type or fully qualified"
    return ""


def _container_resource_name(name: str) -> str:
    complaint = _resource_name(name)
    if complaint:
        return complaint
    if "/" not in name:
        return "" if name in _COMPUTE or name.startswith("hugepages-") else "must be a standard resource for containers"
    if "kubernetes.io/" not in name and (name.startswith("requests.") or names.qualified_name(f"requests.{name}")):
        return "doesn't follow extended resource name standard"
    return ""


_LIMIT_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def create_limit_range(obj: Object) -> Causes:
    """A LimitRange: minimum ≤ default request ≤ default ≤ maximum, each type once."""
    out: Causes = []
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path = f"spec.limits[{index}]"
        kind = item.get("type") or ""
        _limit_type(out, f"{path}.type", kind)
        if kind in seen:
            out.append(causes.duplicate(f"{path}.type", kind))
        seen.add(kind)
        _limit_item(out, path, kind, item)
    return out


def _limit_type(out: Causes, path: str, kind: str) -> None:
    complaint = names.qualified_name(kind)
    if not complaint and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        complaint = "must be a standard limit type or fully qualified"
    if complaint:
        out.append(causes.invalid(path, kind, complaint))


def _limit_item(out: Causes, path: str, kind: str, item: Object) -> None:
    complain = _container_resource_name if kind in ("Pod", "Container") else _resource_name
    stated = {field: item.get(field) or {} for field in _LIMIT_FIELDS}
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if stated.pop(field):
                out.append(causes.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    for field, amounts in stated.items():
        for name in amounts:
            complaint = complain(name)
            if complaint:
                out.append(causes.invalid(f"{path}.{field}[{name}]", name, complaint))
    if kind == "PersistentVolumeClaim" and "storage" not in stated["min"] and "storage" not in stated["max"]:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        out.append(causes.required(f"{path}.limits", detail))
    for name in dict.fromkeys(name for amounts in stated.values() for name in amounts):
        found = {field: amounts[name] for field, amounts in stated.items() if name in amounts}
        _ordered(out, path, name, found)
        _ratio(out, path, name, found)


# (the lower field and its words, the higher one and its words, the field that is complained about, whose value is
# shown).
_ORDER = (
    ("min", "min", "max", "max", "min", "min"),
    ("min", "min", "defaultRequest", "default request", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request", "max", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request", "default", "default limit", "defaultRequest", "defaultRequest"),
    ("min", "min", "default", "default", "default", "min"),
    ("default", "default", "max", "max", "default", "max"),
)


def _ordered(out: Causes, path: str, name: str, found: Mapping[str, str]) -> None:
    for lower, low_words, upper, high_words, blamed, shown in _ORDER:
        if lower not in found or upper not in found:
            continue
        low, high = found[lower], found[upper]
        if resources.amount(low) > resources.amount(high):
            detail = f"{low_words} value {low} is greater than {high_words} value {high}"
            out.append(causes.invalid(f"{path}.{blamed}[{name}]", found[shown], detail))
    default, request = found.get("default"), found.get("defaultRequest")
    if default is None or request is None or not (resources.is_extended(name) or name.startswith("hugepages-")):
        return
    if resources.amount(default) != resources.amount(request):
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        out.append(causes.invalid(f"{path}.defaultRequest[{name}]", request, detail))


def _ratio(out: Causes, path: str, name: str, found: Mapping[str, str]) -> None:
    text = found.get("maxLimitRequestRatio")
    if text is None:
        return
    where, ratio = f"{path}.maxLimitRequestRatio[{name}]", resources.amount(text)
    if ratio < 1:
        out.append(causes.invalid(where, text, f"ratio {text} is less than 1"))
    if "min" not in found or "max" not in found or not resources.amount(found["min"]):
        return
    most = resources.amount(found["max"]) / resources.amount(found["min"])
    if ratio > most:
        out.append(causes.invalid(where, text, f"ratio {text} is greater than max/min = {most:.6f}"))


def _quota_amounts(out: Causes, path: str, amounts: Mapping[str, str]) -> None:
    for name, text in amounts.items():
        where = f"{path}[{name}]"
        complaint = _resource_name(name)
        if complaint:
            out.append(causes.invalid(where, name, complaint))
        if "/" not in name and name not in _QUOTA and not name.startswith(_HUGE_PAGES):
            out.append(causes.invalid(where, name, "must be a standard resource for quota"))
        number = resources.amount(text)
        if number < 0:
            out.append(causes.invalid(where, text, "must be greater than or equal to 0"))
        if (name in _COUNTED or resources.is_extended(name)) and number != number.to_integral_value():
            out.append(causes.invalid(where, text, "must be an integer"))


def _scopes(out: Causes, path: str, shown: Any, scopes: Iterable[str], hard: Iterable[str]) -> None:
    """What holds of `scopes` however they are stated."""
    for scope in scopes:
        if scope not in _SCOPES:
            continue
        for name in hard:
            standard = name in _QUOTA or name.startswith(_HUGE_PAGES)
            if standard and name not in _SCOPES[scope]:
                out.append(causes.invalid(path, shown, "unsupported scope applied to resource"))
    stated = set(scopes)
    out.extend(causes.invalid(path, shown, "conflicting scopes") for pair in _CONFLICTS if pair <= stated)


def create_quota(obj: Object) -> Causes:
    """A ResourceQuota: what is counted can be, whole and not below zero, and goes with the scopes."""
    out: Causes = []
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    _quota_amounts(out, "spec.hard", hard)
    scopes = spec.get("scopes") or []
    out.extend(causes.invalid("spec.scopes", scopes, "unsupported scope") for scope in scopes if scope not in _SCOPES)
    _scopes(out, "spec.scopes", scopes, scopes, sorted(hard))
    selector = spec.get("scopeSelector")
    if selector:
        path = "spec.scopeSelector.matchExpressions"
        expressions = selector.get("matchExpressions") or ()
        for expression in expressions:
            _scope_expression(out, path, expression)
        _scopes(out, path, selector, [str(found.get("scopeName") or "") for found in expressions], sorted(hard))
    return out


def _scope_expression(out: Causes, path: str, expression: Object) -> None:
    scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
    values = expression.get("values") or []
    if scope not in _SCOPES:
        out.append(causes.invalid(f"{path}.scopeName", scope, "unsupported scope"))
    if scope in _ONLY_EXISTS and operator != "Exists":
        detail = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        out.append(causes.invalid(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            out.append(causes.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            out.append(causes.invalid(f"{path}.values", values, detail))
    else:
        out.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))


def update_quota(new: Object, old: Object) -> Causes:
    """A change of a ResourceQuota: its scopes are for life."""
    out = create_quota(new)
    scopes, before = (new.get("spec") or {}).get("scopes"), (old.get("spec") or {}).get("scopes")
    if set(scopes or ()) != set(before or ()):
        out.append(causes.immutable("spec.scopes", scopes))
    return out


def update_quota_status(new: Object, _old: Object) -> Causes:
    """What a quota is said to have used: amounts as it may limit them."""
    out: Causes = []
    status = new.get("status") or {}
    _quota_amounts(out, "status.hard", status.get("hard") or {})
    _quota_amounts(out, "status.used", status.get("used") or {})
    return out


CREATE = {
    ("v1", "LimitRange"): create_limit_range,
    ("v1", "ResourceQuota"): create_quota,
}
UPDATE = {
    ("v1", "ResourceQuota", ""): update_quota,
    ("v1", "ResourceQuota", "status"): update_quota_status,
}
