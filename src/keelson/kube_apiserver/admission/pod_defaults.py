"""What cluster policy adds to a new pod: tolerations of short outages, priority, runtime overhead, where it is.

DefaultTolerationSeconds, Priority, RuntimeClass and PodTopologyLabels, each under its own name in the chain.
"""

from __future__ import annotations

from typing import Any

from keelson.api import errors, meta, resource_lists
from keelson.api.meta import Object

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups

_SECONDS = 300
_CLASSES = "priorityclasses.scheduling.k8s.io"
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
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
    subjects = frozenset({"pods"})

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
    """Reads priority classes; writes spec.priority and preemptionPolicy of pods; keeps the global default single."""

    name = "Priority"
    subjects = frozenset({"pods", _CLASSES})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Resolve the class's name, or the global default. 403 where the class does not exist."""
        if attributes.qualified == "pods" and attributes.operation == UPDATE:
            _keep(attributes)
            return
        pod = _new_pod(attributes)
        if pod is None:
            return
        spec = pod["spec"]
        name = spec.get("priorityClassName") or ""
        found = await self._lookups.get(_CLASSES, "", name) if name else await self._default()
        if found is None and name and name not in SYSTEM_PRIORITIES:
            raise errors.forbidden("pods", attributes.name, f"no PriorityClass with name {name} was found")
        value = int(found["value"]) if found is not None else SYSTEM_PRIORITIES.get(name, 0)
        if spec.get("priority") is not None and int(spec["priority"]) != value:
            why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority "
            why += f"admission controller computed {value} from the given PriorityClass name"
            raise errors.forbidden("pods", attributes.name, why)
        spec["priority"] = value
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("preemptionPolicy") not in (None, policy):
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
            )
            why += f"priority admission controller computed {policy} from the given PriorityClass name"
            raise errors.forbidden("pods", attributes.name, why)
        spec["preemptionPolicy"] = policy
        if not name and found is not None:
            spec["priorityClassName"] = meta.name(found)

    async def validate(self, attributes: Attributes) -> None:
        """Refuse a second global default."""
        obj = attributes.object
        if attributes.qualified != _CLASSES or obj is None or not obj.get("globalDefault"):
            return
        default = await self._default()
        if default is not None and meta.name(default) != meta.name(obj):
            why = f"PriorityClass {meta.name(default)} is already marked as default. Only one default can exist"
            raise errors.forbidden("priorityclasses", attributes.name, why, group="scheduling.k8s.io")

    async def _default(self) -> Object | None:
        classes = await self._lookups.list(_CLASSES)
        defaults = [found for found in classes if found.get("globalDefault")]
        # Of several the lowest, so that adding one never raises what was low.
        return min(defaults, key=lambda found: int(found["value"]), default=None)


def _keep(attributes: Attributes) -> None:
    """An update that leaves out what was resolved at creation keeps it."""
    new, old = (attributes.object or {}).get("spec") or {}, (attributes.old or {}).get("spec") or {}
    for field in ("priority", "preemptionPolicy"):
        if new.get(field) is None and old.get(field) is not None:
            new[field] = old[field]


class RuntimeClass:
    """Reads runtime classes; writes a pod's overhead, node selector and tolerations (KEP-585, KEP-688)."""

    name = "RuntimeClass"
    subjects = frozenset({"pods"})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Take over what the class states. 403 where it does not exist or contradicts the pod."""
        pod = _new_pod(attributes)
        found = await self._class(attributes, pod) if pod is not None else None
        if pod is None or found is None:
            return
        spec = pod["spec"]
        if overhead := _overhead(found):
            if spec.get("overhead") and not resource_lists.equal(spec["overhead"], overhead):
                raise errors.forbidden("pods", attributes.name, _MISMATCH)
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        selector = spec.setdefault("nodeSelector", {}) if scheduling.get("nodeSelector") else {}
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                why += f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                raise errors.forbidden("pods", attributes.name, why)
            selector[key] = value
        for toleration in scheduling.get("tolerations") or []:
            if toleration not in (spec.get("tolerations") or []):
                spec.setdefault("tolerations", []).append(dict(toleration))

    async def validate(self, attributes: Attributes) -> None:
        """Overhead is the class's to state, whatever came between."""
        pod = _new_pod(attributes)
        if pod is None:
            return
        stated = pod["spec"].get("overhead")
        if stated is None and not pod["spec"].get("runtimeClassName"):
            return
        found = await self._class(attributes, pod)
        overhead = _overhead(found) if found is not None else None
        if overhead is not None and not resource_lists.equal(overhead, stated or {}):
            raise errors.forbidden("pods", attributes.name, _MISMATCH)
        if overhead is None and stated is not None:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise errors.forbidden("pods", attributes.name, why)

    async def _class(self, attributes: Attributes, pod: Object) -> Object | None:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return None
        found = await self._lookups.get("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise errors.forbidden("pods", attributes.name, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _overhead(found: Object) -> Object | None:
    overhead = (found.get("overhead") or {}).get("podFixed")
    return overhead or None


class PodTopologyLabels:
    """A pod learns the zone and region of its node as labels of its own (KEP-4742).

    Reads nodes; writes labels of bindings, which the pod takes over, and of pods that are made bound.
    """

    name = "PodTopologyLabels"
    subjects = frozenset({"pods"})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Copy the labels; the node's go before."""
        obj = attributes.object
        if attributes.operation != CREATE or obj is None:
            return
        if attributes.qualified == "pods/binding":
            target = obj.get("target") or {}
            node = target.get("name") if target.get("kind") in (None, "", "Node") else None
        elif attributes.qualified == "pods":
            node = (obj.get("spec") or {}).get("nodeName")
        else:
            return
        if not node:
            return
        labels = await self._lookups.labels("nodes", "", str(node))
        found = {name: labels[name] for name in _TOPOLOGY if name in labels}
        if found:
            head = obj.setdefault("metadata", {})
            head["labels"] = {**(head.get("labels") or {}), **found}
