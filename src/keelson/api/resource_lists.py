"""Sums of resource lists: what pods ask for, what quotas count.

A resource list maps a resource's name to a quantity (core/v1 ResourceList). Sums keep the notation of what they are
summed into, unless that is zero, as upstream's quantities do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from keelson.api import quantities
from keelson.api.meta import Object
from keelson.api.quantities import Value

ResourceList = dict[str, Value]

_ZERO = "0"
# Resources that may be stated for a pod as a whole (KEP-2837).
_POD_LEVEL = frozenset(("cpu", "memory"))
_HUGE_PAGES = "hugepages-"


def add(left: Mapping[str, Value], right: Mapping[str, Value]) -> ResourceList:
    """The sum, by name."""
    return {**left, **{name: _sum(left.get(name, _ZERO), value) for name, value in right.items()}}


def _sum(left: Value, right: Value) -> str:
    augend, addend = quantities.parse(left), quantities.parse(right)
    return quantities.format(augend + addend, quantities.notation(left if augend else right))


def grown(new: Mapping[str, Value], old: Mapping[str, Value]) -> ResourceList:
    """By how much each amount of `new` is above that of `old`; what is not above is zero."""
    result: ResourceList = {}
    for name, value in new.items():
        difference = quantities.parse(value) - quantities.parse(old.get(name, _ZERO))
        result[name] = quantities.format(max(difference, Decimal(0)), quantities.notation(value))
    return result


def masked(found: Mapping[str, Value], names: Iterable[str]) -> ResourceList:
    """Only the entries of these names."""
    wanted = set(names)
    return {name: value for name, value in found.items() if name in wanted}


def without_zeros(found: Mapping[str, Value]) -> ResourceList:
    """Only the entries that are not zero."""
    return {name: value for name, value in found.items() if quantities.parse(value)}


def equal(left: Mapping[str, Value], right: Mapping[str, Value]) -> bool:
    """Whether both have the same names and amounts, however they are written."""
    return left.keys() == right.keys() and all(quantities.equal(value, right[name]) for name, value in left.items())


def exceeding(found: Mapping[str, Value], most: Mapping[str, Value]) -> list[str]:
    """The names, in order, whose amount is above that of `most`; what `most` lacks has no limit."""
    return sorted(
        name for name, value in found.items() if name in most and quantities.parse(value) > quantities.parse(most[name])
    )


def shown(found: Mapping[str, Value]) -> str:
    """As messages show it: "cpu=1,memory=2Gi"."""
    return ",".join(f"{name}={quantities.canonical(found[name])}" for name in sorted(found))


def pod_total(pod: Object, side: str, *, allocated: bool = False, overhead: bool = False) -> ResourceList:
    """What a pod asks for in all; `side` is "requests" or "limits".

    Containers and sidecars together, or the largest step of initialisation where that is more (KEP-753); what the pod
    states as a whole goes before (KEP-2837). `allocated` takes a container's resources as the kubelet has them where
    they are larger (KEP-1287); `overhead` adds the pod's (KEP-688).
    """
    spec = pod.get("spec") or {}
    status = pod.get("status") or {}
    known = {
        each.get("name"): each
        for field in ("containerStatuses", "initContainerStatuses")
        for each in (status.get(field) or () if allocated else ())
    }
    total: ResourceList = {}
    for container in spec.get("containers") or ():
        total = add(total, _of(container, side, known.get(container.get("name"))))
    sidecars: ResourceList = {}
    peak: ResourceList = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, side, known.get(container.get("name")))
        step = add(sidecars, own)
        if container.get("restartPolicy") == "Always":
            total, sidecars = add(total, own), step
        peak = _larger(peak, step)
    total = _larger(total, peak)
    for name, value in ((spec.get("resources") or {}).get(side) or {}).items():
        if name in _POD_LEVEL or name.startswith(_HUGE_PAGES):
            total[name] = value
    if overhead:
        more = spec.get("overhead") or {}
        # A limit that is not there is no limit: overhead does not make one of it.
        total = add(total, more if side == "requests" else masked(more, total))
    return total


def _of(container: Object, side: str, status: Object | None) -> ResourceList:
    stated: ResourceList = (container.get("resources") or {}).get(side) or {}
    if status is None:
        return stated
    found = _larger(stated, (status.get("resources") or {}).get(side) or {})
    return _larger(found, status.get("allocatedResources") or {}) if side == "requests" else found


def _larger(left: Mapping[str, Value], right: Mapping[str, Value]) -> ResourceList:
    result = dict(left)
    for name, value in right.items():
        if name not in result or quantities.parse(value) > quantities.parse(result[name]):
            result[name] = value
    return result
