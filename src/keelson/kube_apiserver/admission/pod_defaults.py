"""What cluster policy adds to a new pod: tolerations of short outages, priority, runtime overhead, its QoS class.

DefaultTolerationSeconds, Priority, RuntimeClass and the pod strategy's QoS, each under its own name in the chain.
"""

from __future__ import annotations

from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups

_SECONDS = 300
_OUTAGES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
# The classes that every cluster has (Kubernetes documentation, "Pod Priority and Preemption").
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _new_pod(attributes: Attributes) -> Object | None:
    return attributes.object if attributes.operation == CREATE and attributes.qualified == "pods" else None


def _updated_pod(attributes: Attributes) -> Object | None:
    if attributes.operation != UPDATE or attributes.qualified != "pods" or attributes.subresource:
        return None
    return attributes.object


class DefaultTolerationSeconds:
    """A pod outlives five minutes of its node's silence, unless it says otherwise."""

    name = "DefaultTolerationSeconds"

    async def mutate(self, attributes: Attributes) -> None:
        """Add the two tolerations where nothing tolerates those taints yet; an update may not lose them either."""
        pod = _new_pod(attributes) or _updated_pod(attributes)
        if pod is None:
            return
        stated = pod["spec"].get("tolerations") or []
        for key in _OUTAGES:
            if not any(_covers(found, key) for found in stated):
                toleration = {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _SECONDS,
                }
                pod["spec"].setdefault("tolerations", []).append(toleration)


def _covers(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key") in (None, "", key) and toleration.get("effect") in (None, "", "NoExecute")


class Priority:
    """Reads priority classes; writes spec.priority and preemptionPolicy of pods."""

    name = "Priority"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Resolve the class's name, or the global default. 403 where the class does not exist.

        An update that says nothing of what was resolved keeps it.
        """
        updated = _updated_pod(attributes)
        if updated is not None:
            before = (attributes.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if updated["spec"].get(field) is None and before.get(field) is not None:
                    updated["spec"][field] = before[field]
            return
        pod = _new_pod(attributes)
        if pod is None:
            return
        spec = pod["spec"]
        name = spec.get("priorityClassName") or ""
        found = (
            await self._lookups.get("priorityclasses.scheduling.k8s.io", "", name) if name else await self._default()
        )
        if found is None and name and name not in SYSTEM_PRIORITIES:
            raise errors.forbidden("pods", attributes.name, f"no PriorityClass with name {name} was found")
        value = int(found["value"]) if found is not None else SYSTEM_PRIORITIES.get(name, 0)
        if spec.get("priority") is not None and int(spec["priority"]) != value:
            why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec"
            raise errors.forbidden("pods", attributes.name, why)
        spec["priority"] = value
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        spec.setdefault("preemptionPolicy", policy)
        if not name and found is not None:
            spec["priorityClassName"] = meta.name(found)

    async def _default(self) -> Object | None:
        classes = await self._lookups.list("priorityclasses.scheduling.k8s.io")
        defaults = [found for found in classes if found.get("globalDefault")]
        # Of several the lowest, so that adding one never raises what was low.
        return min(defaults, key=lambda found: int(found["value"]), default=None)


class RuntimeClass:
    """Reads runtime classes; writes a pod's overhead, node selector and tolerations (KEP-585, KEP-688)."""

    name = "RuntimeClass"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Take over what the class states. 403 where it does not exist or contradicts the pod."""
        pod = _new_pod(attributes)
        if pod is None or not pod["spec"].get("runtimeClassName"):
            return
        spec, name = pod["spec"], pod["spec"]["runtimeClassName"]
        found = await self._lookups.get("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise errors.forbidden("pods", attributes.name, f'pod rejected: RuntimeClass "{name}" not found')
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") not in (None, overhead):
                raise errors.forbidden("pods", attributes.name, "pod's overhead is not that of its RuntimeClass")
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        selector = spec.setdefault("nodeSelector", {}) if scheduling.get("nodeSelector") else {}
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise errors.forbidden("pods", attributes.name, f"conflict: runtimeClass.nodeSelector[{key}] = {value}")
            selector[key] = value
        for toleration in scheduling.get("tolerations") or []:
            if toleration not in (spec.get("tolerations") or []):
                spec.setdefault("tolerations", []).append(dict(toleration))
