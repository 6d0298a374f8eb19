"""What follows from a Pod's spec alone and several daemons need: its quality of service."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from keelson.api import quantities
from keelson.api.meta import Object

_COUNTED = ("cpu", "memory")


def containers(spec: Object) -> Iterator[Object]:
    """The init and ordinary containers of a PodSpec, in the order they are listed."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


@lru_cache(maxsize=1024)
def _is_positive(amount: str) -> bool:
    return quantities.parse(amount) > 0


def _amounts(resources: dict[str, Any], side: str) -> dict[str, Any]:
    found = resources.get(side) or {}
    return {name: found[name] for name in _COUNTED if name in found and _is_positive(found[name])}


def qos_class(pod: Object) -> str:
    """The PodQOSClass "Guaranteed", "Burstable" or "BestEffort": by CPU and memory, pod-level resources first."""
    spec = pod.get("spec") or {}
    pod_level = spec.get("resources")
    if pod_level and (pod_level.get("requests") or pod_level.get("limits")):
        sets: list[dict[str, Any]] = [pod_level]
    else:
        sets = [container.get("resources") or {} for container in containers(spec)]
    anything = False
    guaranteed = True
    for resources in sets:
        requests, limits = _amounts(resources, "requests"), _amounts(resources, "limits")
        anything = anything or bool(requests or limits)
        missing = len(limits) != len(_COUNTED)
        if missing or any(
            amount != limits[name] and not quantities.equal(amount, limits[name]) for name, amount in requests.items()
        ):
            guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
