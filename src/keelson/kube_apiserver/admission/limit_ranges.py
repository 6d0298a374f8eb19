"""LimitRanger: what a container, pod or claim of a namespace may ask for, and what it gets where it does not ask.

Reads limit ranges; writes resources of new pods' containers and the annotation that tells of it ("Limit Ranges").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from keelson.api import errors, meta, quantities, resource_lists
from keelson.api.meta import Object
from keelson.api.resource_lists import ResourceList

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    """The plugin."""

    name = "LimitRanger"

    def __init__(self, lookups: Lookups) -> None:
        self._ranges = lookups.namespaced("limitranges")

    async def mutate(self, attributes: Attributes) -> None:
        """Give containers the defaults of the namespace's limit ranges, each in turn."""
        if not _concerns(attributes) or attributes.resource.qualified != "pods":
            return
        for found in await self._ranges.list(attributes.namespace):
            assert attributes.object is not None
            apply_defaults(found, attributes.object)

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403 what is below a minimum, above a maximum or out of proportion."""
        if not _concerns(attributes):
            return
        for found in await self._ranges.list(attributes.namespace):
            assert attributes.object is not None
            complaints = violations(found, attributes.resource.qualified, attributes.object)
            if complaints:
                text = complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]"
                raise errors.forbidden(attributes.resource.plural, attributes.name, text)


def _concerns(attributes: Attributes) -> bool:
    if attributes.old is not None and meta.is_deleting(attributes.old):
        return False
    match attributes.resource.qualified:
        case "pods":
            # What containers ask for changes by no other way than a resize.
            if attributes.subresource:
                return attributes.subresource == "resize" and attributes.operation == UPDATE
            return attributes.operation == CREATE
        case "persistentvolumeclaims":
            return not attributes.subresource and attributes.operation in (CREATE, UPDATE)
    return False


def _limits(found: Object, type_: str) -> list[Object]:
    return [each for each in (found.get("spec") or {}).get("limits") or () if each.get("type") == type_]


def apply_defaults(found: Object, pod: Object) -> None:
    """Fill in what the containers of a pod leave open from one limit range."""
    defaults: dict[str, ResourceList] = {"requests": {}, "limits": {}}
    for limit in _limits(found, "Container"):
        defaults["requests"] |= limit.get("defaultRequest") or {}
        defaults["limits"] |= limit.get("default") or {}
    told: list[str] = []
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            told += _fill(container, defaults, what)
    if told:
        pod["metadata"].setdefault("annotations", {})[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(told)}"


def _fill(container: Object, defaults: Mapping[str, ResourceList], what: str) -> list[str]:
    told = []
    resources = container.setdefault("resources", {})
    for side, word in (("requests", "request"), ("limits", "limit")):
        missing = {name: value for name, value in defaults[side].items() if name not in (resources.get(side) or {})}
        if missing:
            resources[side] = {**(resources.get(side) or {}), **missing}
            told.append(f"{', '.join(sorted(missing))} {word} for {what} {container.get('name')}")
    return told


def violations(found: Object, resource: str, obj: Object) -> list[str]:
    """What one limit range has against a pod or claim, in upstream's words."""
    spec = obj.get("spec") or {}
    out: list[str] = []
    if resource == "persistentvolumeclaims":
        requests = (spec.get("resources") or {}).get("requests") or {}
        for limit in _limits(found, "PersistentVolumeClaim"):
            out += _below("PersistentVolumeClaim", limit.get("min") or {}, requests, {})
            out += _above_requests("PersistentVolumeClaim", limit.get("max") or {}, requests)
        return _distinct(out)
    for limit in _limits(found, "Container"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            out += _checked("Container", limit, resources.get("requests") or {}, resources.get("limits") or {})
    for limit in _limits(found, "Pod"):
        requests = resource_lists.pod_total(obj, "requests")
        out += _checked("Pod", limit, requests, resource_lists.pod_total(obj, "limits"))
    return _distinct(out)


def _distinct(messages: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(messages))


def _checked(type_: str, limit: Object, requests: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    return [
        *_below(type_, limit.get("min") or {}, requests, limits),
        *_above(type_, limit.get("max") or {}, requests, limits),
        *_out_of_proportion(type_, limit.get("maxLimitRequestRatio") or {}, requests, limits),
    ]


def _shown(value: Any) -> str:
    return quantities.canonical(value)


def _more(left: Any, right: Any) -> bool:
    # As finely as upstream compares: thousandths, rounded up.
    return quantities.milli(left) > quantities.milli(right)


def _below(type_: str, least: Mapping[str, Any], requests: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    out = []
    for name, bound in sorted(least.items()):
        rule = f"minimum {name} usage per {type_} is {_shown(bound)}"
        if name not in requests:
            out.append(f"{rule}.  No request is specified")
        elif _more(bound, requests[name]):
            out.append(f"{rule}, but request is {_shown(requests[name])}")
        elif name in limits and _more(bound, limits[name]):
            out.append(f"{rule}, but limit is {_shown(limits[name])}")
    return out


def _above(type_: str, most: Mapping[str, Any], requests: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    out = []
    for name, bound in sorted(most.items()):
        rule = f"maximum {name} usage per {type_} is {_shown(bound)}"
        if name not in limits:
            out.append(f"{rule}.  No limit is specified")
        elif _more(limits[name], bound):
            out.append(f"{rule}, but limit is {_shown(limits[name])}")
        elif name in requests and _more(requests[name], bound):
            out.append(f"{rule}, but request is {_shown(requests[name])}")
    return out


def _above_requests(type_: str, most: Mapping[str, Any], requests: Mapping[str, Any]) -> list[str]:
    out = []
    for name, bound in sorted(most.items()):
        rule = f"maximum {name} usage per {type_} is {_shown(bound)}"
        if name not in requests:
            out.append(f"{rule}.  No request is specified")
        elif _more(requests[name], bound):
            out.append(f"{rule}, but request is {_shown(requests[name])}")
    return out


def _out_of_proportion(
    type_: str, ratios: Mapping[str, Any], requests: Mapping[str, Any], limits: Mapping[str, Any]
) -> list[str]:
    out = []
    for name, bound in sorted(ratios.items()):
        rule = f"{name} max limit to request ratio per {type_} is {_shown(bound)}"
        request, limit = (quantities.milli(side.get(name, 0)) for side in (requests, limits))
        if not request:
            out.append(f"{rule}, but no request is specified or request is 0")
        elif not limit:
            out.append(f"{rule}, but no limit is specified or limit is 0")
        elif (ratio := Decimal(limit) / Decimal(request)) > quantities.parse(bound):
            out.append(f"{rule}, but provided ratio is {ratio:.6f}")
    return out
