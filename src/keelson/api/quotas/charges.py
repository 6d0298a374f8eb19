"""Whether quotas bear a write, and what they have used after it; and what a quota counts over all objects.

Messages are upstream's, which clients read ("exceeded quota: …").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keelson.api import meta, quantities, resource_lists
from keelson.api.meta import Object
from keelson.api.resource_lists import ResourceList

from .evaluators import CREATE, Evaluator, Write


class RefusedError(Exception):
    """A quota does not bear the write; the message says which and why."""


def scopes(quota: Object) -> list[Mapping[str, Any]]:
    """The quota's scopes as requirements that all must hold."""
    spec = quota.get("spec") or {}
    found: list[Mapping[str, Any]] = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    return found + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def _hard(quota: Object) -> ResourceList:
    return (quota.get("status") or {}).get("hard") or {}


def used(quota: Object) -> ResourceList:
    """What the quota's status says is used."""
    return (quota.get("status") or {}).get("used") or {}


def applies(quota: Object, evaluator: Evaluator, obj: Object) -> bool:
    """Whether the quota limits something of this object."""
    if not evaluator.matching(_hard(quota)):
        return False
    return all(evaluator.in_scope(scope, obj) for scope in scopes(quota))


def charged(
    quotas: Sequence[Object], evaluator: Evaluator, write: Write, limited: Sequence[Mapping[str, Any]] = ()
) -> list[Object]:
    """The quotas as they are after the write; those that it does not touch are the same objects.

    `limited` are the LimitedResources of the plugin's configuration: what may be used only under a quota. Raises
    RefusedError.
    """
    if not evaluator.handles(write):
        return list(quotas)
    obj = write.object
    concerned: list[int] = []
    covered: set[str] = set()
    for index, quota in enumerate(quotas):
        if not applies(quota, evaluator, obj):
            continue
        names = sorted(evaluator.matching(_hard(quota)))
        if missing := evaluator.missing(names, obj):
            raise RefusedError(f"failed quota: {meta.name(quota)}: {missing}")
        if any(name not in used(quota) for name in names):
            raise RefusedError(f"status unknown for quota: {meta.name(quota)}, resources: {','.join(names)}")
        concerned.append(index)
        covered.update(names)
    if not concerned and not limited:
        return list(quotas)
    usage = evaluator.usage(obj, write.now)
    if negative := sorted(name for name, value in usage.items() if quantities.parse(value) < 0):
        raise RefusedError(f"quota usage is negative for resource(s): {','.join(negative)}")
    before: ResourceList = {}
    if write.operation != CREATE and write.old is not None:
        before = evaluator.usage(write.old, write.now)
    delta = resource_lists.without_zeros(resource_lists.grown(usage, before))
    result = list(quotas)
    deltas: dict[int, ResourceList] = {}
    for index in concerned:
        # What was not under this quota before is charged in full.
        under = write.old is not None and applies(quotas[index], evaluator, write.old)
        found = delta if under or write.old is None else resource_lists.without_zeros(usage)
        if found:
            deltas[index] = found
    if not (deltas if concerned else delta):
        return result
    _check_limited(quotas, evaluator, obj, usage, covered, limited)
    for index, more in deltas.items():
        result[index] = _with(quotas[index], more, enforce=write.subresource != "status")
    return result


def _check_limited(
    quotas: Sequence[Object],
    evaluator: Evaluator,
    obj: Object,
    usage: ResourceList,
    covered: set[str],
    limited: Sequence[Mapping[str, Any]],
) -> None:
    plural, _, group = evaluator.resource.partition(".")
    bare: set[str] = set()
    wanted_scopes: list[Mapping[str, Any]] = []
    for each in limited:
        wanted_scopes += [scope for scope in each.get("matchScopes") or () if evaluator.in_scope(scope, obj)]
        if ((each.get("apiGroup") or ""), each.get("resource")) != (group, plural):
            continue
        for name, value in usage.items():
            if quantities.parse(value) > 0 and any(part in name for part in each.get("matchContains") or ()):
                bare.add(name)
    if bare - covered:
        raise RefusedError(f"insufficient quota to consume: {','.join(sorted(bare - covered))}")
    held = {scope.get("scopeName") for quota in quotas for scope in scopes(quota) if evaluator.in_scope(scope, obj)}
    if open_scopes := [scope for scope in wanted_scopes if scope.get("scopeName") not in held]:
        shown = " ".join(
            f"{{{scope.get('scopeName')} {scope.get('operator')} [{' '.join(scope.get('values') or ())}]}}"
            for scope in open_scopes
        )
        raise RefusedError(f"insufficient quota to match these scopes: [{shown}]")


def _with(quota: Object, more: ResourceList, *, enforce: bool) -> Object:
    hard, before = _hard(quota), used(quota)
    requested = resource_lists.masked(more, hard)
    after = resource_lists.add(before, requested)
    if enforce and (over := resource_lists.exceeding(resource_lists.masked(after, requested), hard)):
        parts = (
            f"exceeded quota: {meta.name(quota)}",
            f"requested: {resource_lists.shown(resource_lists.masked(requested, over))}",
            f"used: {resource_lists.shown(resource_lists.masked(before, over))}",
            f"limited: {resource_lists.shown(resource_lists.masked(hard, over))}",
        )
        raise RefusedError(", ".join(parts))
    return {**quota, "status": {**(quota.get("status") or {}), "used": after}}


def tracked(quota: Object, evaluators: Iterable[Evaluator]) -> list[Evaluator]:
    """The evaluators that count for one of the quota's hard limits."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return [each for each in evaluators if each.matching(hard)]


def counted(quota: Object, objects: Iterable[tuple[Evaluator, Iterable[Object]]], now: datetime) -> Object:
    """The quota's status by its specification and the objects that there are, by evaluator.

    What no evaluator counts keeps the usage that it had.
    """
    hard: ResourceList = dict((quota.get("spec") or {}).get("hard") or {})
    wanted = scopes(quota)
    result: ResourceList = resource_lists.masked(used(quota), hard)
    for evaluator, found in objects:
        names = evaluator.matching(hard)
        total: ResourceList = dict.fromkeys(names, "0")
        for obj in found:
            if all(evaluator.in_scope(scope, obj) for scope in wanted):
                total = resource_lists.add(total, resource_lists.masked(evaluator.usage(obj, now), names))
        result |= total
    return {"hard": hard, "used": result}
