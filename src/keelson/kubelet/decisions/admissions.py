"""Whether the node takes a pod that was bound to it: the checks that the scheduler made, made again where it runs.

Reasons are upstream's pod status reasons (NodeAffinity, OutOfcpu, …). Rules: "Assigning Pods to Nodes", "Node-pressure
Eviction" (which pods a node under pressure still takes), critical pods' priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from keelson.api import meta, node_selectors, quantities
from keelson.api.meta import Object

from .container_configs import is_sidecar
from .resource_limits import pod_requests, qos_class

_CRITICAL_PRIORITY = 2_000_000_000


def refusal(
    pod: Object, node: Object, others: Iterable[Object], *, pressures: frozenset[str] = frozenset()
) -> tuple[str, str] | None:
    """(reason, message) where the node can't take the pod beside the `others` that it runs; None where it can.

    `pressures` are the node's pressure conditions that hold.
    """
    spec = pod["spec"]
    wanted_os = (spec.get("os") or {}).get("name", "linux")
    if wanted_os != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    if not node_selectors.selects(spec, node):
        return "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    critical = (spec.get("priority") or 0) >= _CRITICAL_PRIORITY
    if pressures and not critical:
        only_memory = pressures == {"MemoryPressure"}
        if not (only_memory and qos_class(pod) != "BestEffort"):
            return "Evicted", f"The node had condition: [{' '.join(sorted(pressures))}]."
    active = [other for other in others if meta.uid(other) != meta.uid(pod)]
    if (taken := _taken_port(spec, active)) is not None:
        return "NodePorts", f"Predicate NodePorts failed: node(s) didn't have free ports: {taken}"
    return _too_much(pod, node, active)


def _ports(spec: Mapping[str, Any]) -> set[tuple[str, int, str]]:
    holders = [*filter(is_sidecar, spec.get("initContainers") or []), *spec["containers"]]
    return {
        (port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or "0.0.0.0")  # noqa: S104 - a comparison
        for container in holders
        for port in container.get("ports") or []
        if port.get("hostPort")
    }


def _taken_port(spec: Mapping[str, Any], others: Iterable[Object]) -> int | None:
    wanted = _ports(spec)
    if not wanted:
        return None
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - a comparison
    for other in others:
        for protocol, port, address in _ports(other["spec"]):
            for mine in wanted:
                same = address == mine[2] or address in everywhere or mine[2] in everywhere
                if (protocol, port) == mine[:2] and same:
                    return port
    return None


def _too_much(pod: Object, node: Object, others: list[Object]) -> tuple[str, str] | None:
    limits = {
        name: quantities.parse(value) for name, value in ((node.get("status") or {}).get("allocatable") or {}).items()
    }
    if "pods" in limits and len(others) + 1 > limits["pods"]:
        return "OutOfpods", _short("pods", Decimal(1), Decimal(len(others)), limits["pods"])
    used: dict[str, Decimal] = {}
    for other in others:
        for name, value in pod_requests(other).items():
            used[name] = used.get(name, Decimal(0)) + value
    for name, value in sorted(pod_requests(pod).items()):
        if not value or (name not in limits and name in {"cpu", "memory", "ephemeral-storage"}):
            continue
        available = limits.get(name, Decimal(0))
        if used.get(name, Decimal(0)) + value > available:
            return f"OutOf{name}", _short(name, value, used.get(name, Decimal(0)), available)
    return None


def _short(resource: str, requested: Decimal, used: Decimal, capacity: Decimal) -> str:
    factor = 1000 if resource == "cpu" else 1
    numbers = [int(number * factor) for number in (requested, used, capacity)]
    return (
        f"Node didn't have enough resource: {resource}, "
        f"requested: {numbers[0]}, used: {numbers[1]}, capacity: {numbers[2]}"
    )
