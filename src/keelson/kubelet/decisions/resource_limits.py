"""From requests and limits to a QoS class, cgroup values and an out-of-memory score.

Rules: "Pod Quality of Service Classes", "Node-pressure Eviction: node out of memory behavior", the cgroup documents of
the kernel (cpu shares and CFS quota), KEP-753 for how sidecars and init containers add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from keelson.api import meta, quantities
from keelson.api.meta import Object
from keelson.kubelet._gen import cri_pb2 as cri

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]

_PERIOD = 100_000
_MINIMUM_QUOTA = 1_000
_MINIMUM_SHARES, _MAXIMUM_SHARES = 2, 262_144


def qos_class(pod: Object) -> QosClass:
    """The pod's class; pod-level resources count where they are set (KEP-2837)."""
    spec = pod["spec"]
    level = spec.get("resources") or {}
    holders: list[Mapping[str, Any]]
    if level.get("requests") or level.get("limits"):
        holders = [level]
    else:
        containers = [*(spec.get("initContainers") or []), *spec["containers"]]
        holders = [container.get("resources") or {} for container in containers]
    guaranteed = True
    anything = False
    for holder in holders:
        requests, limits = _amounts(holder.get("requests")), _amounts(holder.get("limits"))
        requests = {**limits, **requests}
        anything |= any(requests.values())
        for resource in ("cpu", "memory"):
            if not limits.get(resource) or requests.get(resource) != limits[resource]:
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(section: Mapping[str, Any] | None) -> dict[str, Decimal]:
    return {name: quantities.parse(value) for name, value in (section or {}).items() if name in {"cpu", "memory"}}


def pod_requests(pod: Object) -> dict[str, Decimal]:
    """What the pod takes of a node: the larger of its initialisation's and its work's requests, plus overhead."""
    spec = pod["spec"]
    total: dict[str, Decimal] = {}
    for container in spec["containers"]:
        _add(total, _requests(container))
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or []:
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            _raise(peak, sidecars)
        else:
            _raise(
                peak, {name: own.get(name, Decimal(0)) + sidecars.get(name, Decimal(0)) for name in {*own, *sidecars}}
            )
    _add(total, sidecars)
    _raise(total, peak)
    for name, value in ((spec.get("resources") or {}).get("requests") or {}).items():
        total[name] = quantities.parse(value)
    _add(total, {name: quantities.parse(value) for name, value in (spec.get("overhead") or {}).items()})
    return total


def _requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantities.parse(value) for name, value in merged.items()}


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value


def _raise(total: dict[str, Decimal], least: Mapping[str, Decimal]) -> None:
    for name, value in least.items():
        total[name] = max(total.get(name, Decimal(0)), value)


def cpu_shares(milli: int) -> int:
    """cpu.shares of this many thousandths of a core."""
    return max(_MINIMUM_SHARES, min(_MAXIMUM_SHARES, milli * 1024 // 1000)) if milli else _MINIMUM_SHARES


def cpu_quota(milli: int) -> int:
    """CFS quota in microseconds a period of 100 ms; 0 means none."""
    return max(_MINIMUM_QUOTA, milli * _PERIOD // 1000) if milli else 0


def oom_score(pod: Object, container: Object, *, memory_capacity: int) -> int:
    """oom_score_adj: what is evicted first under memory pressure dies first without it."""
    if (pod["spec"].get("priority") or 0) >= 2_000_000_000:
        return -997
    quality = qos_class(pod)
    if quality == "Guaranteed":
        return -997
    if quality == "BestEffort" or not memory_capacity:
        return 1000
    request = int(_requests(container).get("memory", Decimal(0)))
    return max(3, min(999, 1000 - 1000 * request // memory_capacity))


def linux_resources(
    pod: Object, container: Object, *, enforced: Iterable[str], memory_capacity: int
) -> cri.LinuxContainerResources:
    """The values for the runtime. Only controllers in `enforced` ("cpu", "memory") get any: no false promises."""
    controllers = frozenset(enforced)
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, _requests(container)
    result = cri.LinuxContainerResources(oom_score_adj=oom_score(pod, container, memory_capacity=memory_capacity))
    if "cpu" in controllers:
        result.cpu_shares = cpu_shares(int(requests.get("cpu", Decimal(0)) * 1000))
        if limits.get("cpu"):
            result.cpu_period = _PERIOD
            result.cpu_quota = cpu_quota(quantities.milli(limits["cpu"]))
    if "memory" in controllers and limits.get("memory"):
        result.memory_limit_in_bytes = quantities.whole(limits["memory"])
    return result


def cgroup_parent(pod: Object, *, driver: Literal["cgroupfs", "systemd"]) -> str:
    """The pod's cgroup below the node's root cgroup, named as upstream names it."""
    quality = qos_class(pod).lower()
    uid = meta.uid(pod)
    if driver == "cgroupfs":
        return f"/kubepods/pod{uid}" if quality == "guaranteed" else f"/kubepods/{quality}/pod{uid}"
    flat = uid.replace("-", "_")
    return f"kubepods-pod{flat}.slice" if quality == "guaranteed" else f"kubepods-{quality}-pod{flat}.slice"
