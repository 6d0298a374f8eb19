"""What objects are charged with: one evaluator a resource, counting objects where nothing else is known.

Rules: Kubernetes documentation, "Resource Quotas"; resource names and scopes are those of core/v1 ResourceQuota.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from keelson.api import meta, quantities, resource_lists, selectors
from keelson.api.meta import Object
from keelson.api.pods import qos_class
from keelson.api.resource_lists import ResourceList

CREATE, UPDATE = "CREATE", "UPDATE"

_HUGE_PAGES = "hugepages-"
_REQUESTS = "requests."
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_CLAIM_DEVICES = ".deviceclass.resource.k8s.io/devices"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
# Names by which these resources were counted before there was count/*.
ALIASES = {name: name for name in ("configmaps", "resourcequotas", "replicationcontrollers", "secrets")}
# Where a quota on one of these needs every container to state it: a mistake of the beginnings that has to stay.
_MUST_BE_STATED = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_COMPUTE = frozenset(
    (*_MUST_BE_STATED, "pods", "ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage")
)


@dataclass(frozen=True, slots=True)
class Write:
    """A creation or update to be charged. `old` is None for a creation; `now` is the request's moment."""

    operation: str
    subresource: str
    object: Object
    old: Object | None
    now: datetime


def count_name(resource: str) -> str:
    """The name that counts the objects of a resource ("pods", "deployments.apps")."""
    return f"count/{resource}"


class Evaluator:
    """Counts objects. The base of those that know more of their resource."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self._names = frozenset(name for name in (count_name(resource), ALIASES.get(resource)) if name)

    def handles(self, write: Write) -> bool:
        """Whether the write can change what is charged."""
        return write.operation == CREATE and not write.subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        """Those of a quota's resource names that objects of this resource are charged to."""
        return [name for name in names if name in self._names]

    def in_scope(self, requirement: Mapping[str, Any], obj: Object) -> bool:
        """Whether the object is in the scope of a ScopedResourceSelectorRequirement."""
        return False

    def missing(self, required: Iterable[str], obj: Object) -> str:
        """What the object must state and does not, as a sentence; "" where it states everything."""
        return ""

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """What the object is charged with."""
        return dict.fromkeys(self._names, "1")


class Pods(Evaluator):
    """Pods: compute resources while they live, and their number."""

    def handles(self, write: Write) -> bool:
        """Creations, resizes, and an update that moves the pod between the scopes of deadlines."""
        if write.subresource == "resize":
            return write.operation == UPDATE
        if write.subresource:
            return False
        if write.operation == UPDATE and write.old is not None:
            return _has_deadline(write.old) != _has_deadline(write.object)
        return write.operation == CREATE

    def matching(self, names: Iterable[str]) -> list[str]:
        """Compute resources, huge pages and extended resources, the number of pods."""
        return [name for name in names if name in _COMPUTE or name in self._names or _is_extended(name)]

    def in_scope(self, requirement: Mapping[str, Any], obj: Object) -> bool:
        """Terminating, BestEffort, their opposites, PriorityClass and CrossNamespacePodAffinity."""
        match requirement.get("scopeName"):
            case "Terminating":
                return _has_deadline(obj)
            case "NotTerminating":
                return not _has_deadline(obj)
            case "BestEffort":
                return qos_class(obj) == "BestEffort"
            case "NotBestEffort":
                return qos_class(obj) != "BestEffort"
            case "PriorityClass":
                name = (obj.get("spec") or {}).get("priorityClassName")
                return _selects(requirement, [name] if name else [])
            case "CrossNamespacePodAffinity":
                return _crosses_namespaces(obj)
        return False

    def missing(self, required: Iterable[str], obj: Object) -> str:
        """CPU and memory under quota must be stated by every container, unless the pod states them as a whole."""
        spec = obj.get("spec") or {}
        whole = spec.get("resources") or {}
        if any(name in ("cpu", "memory") or name.startswith(_HUGE_PAGES) for side in whole.values() for name in side):
            return ""
        wanted = sorted(_MUST_BE_STATED.intersection(required))
        lacking: dict[str, set[str]] = {}
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            stated = _compute(resources.get("requests") or {}, resources.get("limits") or {})
            for name in wanted:
                if name not in stated:
                    lacking.setdefault(name, set()).add(str(container.get("name")))
        parts = [f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking)]
        return f"must specify {'; '.join(parts)}" if parts else ""

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """A finished pod, and one whose deletion is overdue, costs nothing but its place in the store."""
        result: ResourceList = {count_name("pods"): "1"}
        if not _is_charged(obj, now):
            return result
        requests = resource_lists.pod_total(obj, "requests", allocated=True, overhead=True)
        limits = resource_lists.pod_total(obj, "limits", allocated=True, overhead=True)
        return {**result, "pods": "1", **_compute(requests, limits)}


def _compute(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> ResourceList:
    result: ResourceList = {}
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in requests:
            result[name] = result[f"requests.{name}"] = requests[name]
        if name in limits:
            result[f"limits.{name}"] = limits[name]
    for name, value in requests.items():
        if name.startswith(_HUGE_PAGES):
            result[name] = result[_REQUESTS + name] = value
        elif name.startswith(_DEVICE_CLASS) or ("/" in name and "kubernetes.io/" not in name):
            result[_REQUESTS + name] = value
    return result


def _is_extended(name: str) -> bool:
    if name.startswith((_HUGE_PAGES, _REQUESTS + _HUGE_PAGES)):
        return True
    if not name.startswith(_REQUESTS):
        return False
    return ("/" in name and "kubernetes.io/" not in name) or name.startswith(_REQUESTS + _DEVICE_CLASS)


def _has_deadline(pod: Object) -> bool:
    return (pod.get("spec") or {}).get("activeDeadlineSeconds") is not None


def _is_charged(pod: Object, now: datetime) -> bool:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = meta.metadata(pod)
    grace = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and grace is not None:
        return now <= meta.parse_time(metadata["deletionTimestamp"]) + timedelta(seconds=int(grace))
    return True


def _crosses_namespaces(pod: Object) -> bool:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    terms: list[Object] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms += found.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def _selects(requirement: Mapping[str, Any], names: list[str]) -> bool:
    """Whether a requirement on a name holds for one of these; none stands for an object without such a name."""
    operator = requirement.get("operator") or "Exists"
    if operator == "Exists":
        return bool(names)
    scope = str(requirement.get("scopeName"))
    expression = {"key": scope, "operator": operator, "values": requirement.get("values") or []}
    selector = selectors.from_label_selector({"matchExpressions": [expression]})
    return any(selector.matches({scope: name}) for name in names) if names else selector.matches({})


class Services(Evaluator):
    """Services, their node ports and load balancers."""

    _NAMES = frozenset(("services", "services.nodeports", "services.loadbalancers"))

    def handles(self, write: Write) -> bool:
        """Updates too: a service may change its type."""
        return not write.subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        """The three names of services, and their number."""
        return [name for name in names if name in self._NAMES or name in self._names]

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """Node ports are counted by what is asked for: they are not allocated yet."""
        spec = obj.get("spec") or {}
        ports = spec.get("ports") or []
        node_ports = len(ports) if spec.get("type") in ("NodePort", "LoadBalancer") else 0
        balanced = spec.get("type") == "LoadBalancer"
        if balanced and spec.get("allocateLoadBalancerNodePorts") is False:
            node_ports = sum(bool(port.get("nodePort")) for port in ports)
        return {
            count_name("services"): "1",
            "services": "1",
            "services.nodeports": str(node_ports),
            "services.loadbalancers": str(int(balanced)),
        }


class Claims(Evaluator):
    """Persistent volume claims and their storage, in all and by storage class."""

    _NAMES = frozenset(("persistentvolumeclaims", "requests.storage"))

    def handles(self, write: Write) -> bool:
        """Updates too: a claim may grow; its status where that says how much the volume has."""
        if write.subresource == "status":
            return write.old is not None and (
                _allocated(write.object) != _allocated(write.old) or _classes(write.object) != _classes(write.old)
            )
        return not write.subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        """Number and storage, also as CLASS.storageclass.storage.k8s.io/NAME."""
        suffixes = tuple(_STORAGE_CLASS + name for name in self._NAMES)
        return [name for name in names if name in self._NAMES or name in self._names or name.endswith(suffixes)]

    def in_scope(self, requirement: Mapping[str, Any], obj: Object) -> bool:
        """VolumeAttributesClass, by any class that the claim has, wants or is on the way to."""
        return requirement.get("scopeName") == "VolumeAttributesClass" and _selects(requirement, _classes(obj))

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """The storage asked for, or what the volume has been given where that is more, in whole bytes."""
        spec = obj.get("spec") or {}
        found: ResourceList = {"persistentvolumeclaims": "1"}
        wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if wanted is not None:
            given = _allocated(obj)
            larger = given if given is not None and quantities.parse(given) > quantities.parse(wanted) else wanted
            found["requests.storage"] = quantities.format(quantities.whole(larger), quantities.notation(larger))
        name = meta.annotations(obj).get(_BETA_CLASS) or spec.get("storageClassName") or ""
        by_class = {f"{name}{_STORAGE_CLASS}{key}": value for key, value in found.items()} if name else {}
        return {count_name("persistentvolumeclaims"): "1", **found, **by_class}


def _allocated(claim: Object) -> Any:
    return ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")


def _classes(claim: Object) -> list[str]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    found = (
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return sorted({name for name in found if name})


class DeviceClaims(Evaluator):
    """Resource claims and the devices that they ask for, by device class (KEP-4381)."""

    def handles(self, write: Write) -> bool:
        """Creations and updates."""
        return not write.subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        """The number of claims, and CLASS.deviceclass.resource.k8s.io/devices."""
        return [name for name in names if name in self._names or name.endswith(_CLAIM_DEVICES)]

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """Of alternatives the dearest of each class; all devices that match count as the most that a claim may have."""
        result: ResourceList = {count_name(self.resource): "1"}
        for request in ((obj.get("spec") or {}).get("devices") or {}).get("requests") or ():
            worst: dict[str, int] = {}
            exact = request.get("exactly")
            for each in [exact] if exact else request.get("firstAvailable") or ():
                amount = _MOST_DEVICES if each.get("allocationMode") == "All" else int(each.get("count") or 1)
                name = f"{each.get('deviceClassName')}{_CLAIM_DEVICES}"
                worst[name] = max(worst.get(name, 0), amount)
            result = resource_lists.add(result, {name: str(amount) for name, amount in worst.items()})
        return result


_MOST_DEVICES = 32
_KINDS: Mapping[str, type[Evaluator]] = {
    "pods": Pods,
    "services": Services,
    "persistentvolumeclaims": Claims,
    "resourceclaims.resource.k8s.io": DeviceClaims,
}


@lru_cache(maxsize=1024)
def evaluator(resource: str) -> Evaluator:
    """The evaluator of a resource by its qualified name."""
    return _KINDS.get(resource, Evaluator)(resource)


# Never charged: events never were, and the rest is not stored.
IGNORED = frozenset(
    (
        "bindings",
        "componentstatuses",
        "events",
        "events.events.k8s.io",
        "tokenreviews.authentication.k8s.io",
        "selfsubjectreviews.authentication.k8s.io",
        "subjectaccessreviews.authorization.k8s.io",
        "selfsubjectaccessreviews.authorization.k8s.io",
        "localsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectrulesreviews.authorization.k8s.io",
    )
)
