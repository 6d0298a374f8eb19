"""The rules for amounts of compute resources: requests, limits, quotas, capacities (core/v1)."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from keelson.api import quantities
from keelson.api.validation import causes, names
from keelson.api.validation.causes import Causes

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE_PAGES = "hugepages-"
_NOT_OVERCOMMITTED = "must be equal to"


@lru_cache(maxsize=1024)
def amount(text: str) -> Decimal:
    """The number of a quantity; the same few texts come again and again."""
    return quantities.parse(text)


@lru_cache(maxsize=512)
def resource_name(name: str) -> str:
    """The complaint about the name of a container's resource, "" where it is one."""
    complaint = names.qualified_name(name)
    if complaint:
        return complaint
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        return "must be a standard resource type or fully qualified"
    return ""


def is_extended(name: str) -> bool:
    """Whether a resource is none of Kubernetes' own: such are whole and not overcommitted."""
    return "/" in name and not name.startswith("requests.") and "kubernetes.io/" not in name


def amounts(out: Causes, path: str, found: dict[str, Any]) -> None:
    """A ResourceList: no amount below zero, whole amounts of what can't be divided."""
    for name, text in found.items():
        complaint = resource_name(name)
        if complaint:
            out.append(causes.invalid(path, name, complaint))
        number = amount(text)
        if number < 0:
            out.append(causes.invalid(f"{path}[{name}]", text, "must be greater than or equal to 0"))
        if "/" in name and number != number.to_integral_value():
            out.append(causes.invalid(f"{path}[{name}]", text, "must be an integer"))


def requirements(out: Causes, path: str, resources: dict[str, Any]) -> None:
    """ResourceRequirements: requests within limits, and equal to them where nothing may be overcommitted."""
    limits = resources.get("limits")
    requests = resources.get("requests")
    if limits:
        amounts(out, f"{path}.limits", limits)
    if not requests:
        return
    amounts(out, f"{path}.requests", requests)
    for name, text in requests.items():
        limit = limits.get(name) if limits else None
        if limit == text:
            continue
        exact = is_extended(name) or name.startswith(_HUGE_PAGES)
        if limit is None:
            if exact:
                out.append(causes.required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        elif exact and amount(text) != amount(limit):
            detail = f"{_NOT_OVERCOMMITTED} {name} limit of {limit}"
            out.append(causes.invalid(f"{path}.requests", text, detail))
        elif amount(text) > amount(limit):
            detail = f"must be less than or equal to {name} limit of {limit}"
            out.append(causes.invalid(f"{path}.requests", text, detail))
