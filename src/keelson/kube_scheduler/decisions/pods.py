"""What the scheduler reads of a pod, computed once: requests, priority, tolerations, affinity terms, ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keelson.api import meta, quantities, selectors
from keelson.api.meta import Object

# What a container without a request counts for when nodes are scored (upstream's non-zero requests): 0.1 CPU, 200 MiB.
_NON_ZERO = {"cpu": 100, "memory": 200 * 2**20}
NOT_STARTED = "9999-12-31T23:59:59Z"
# The reason of the condition DisruptionTarget that preemption leaves on a pod (KEP-3329).
PREEMPTED = "PreemptionByScheduler"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """One pod (anti-)affinity term: pods of these namespaces that the selector matches, in the same topology."""

    topology_key: str
    selector: selectors.Selector
    namespaces: frozenset[str]
    # None where the term has no namespaceSelector; it adds namespaces by their labels.
    namespace_selector: selectors.Selector | None
    weight: int = 0

    def matches(self, pod: PodInfo, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether the term speaks of this pod."""
        if pod.namespace not in self.namespaces:
            if self.namespace_selector is None:
                return False
            if not self.namespace_selector.matches(namespace_labels.get(pod.namespace, {})):
                return False
        return self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One topologySpreadConstraint."""

    max_skew: int
    topology_key: str
    hard: bool
    selector: selectors.Selector
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A pod as the scheduler sees it. Requests are in milli-CPU for cpu and in whole units (bytes) for the rest."""

    uid: str
    key: str
    namespace: str
    labels: Mapping[str, str]
    node: str
    priority: int
    requests: Mapping[str, int]
    scoring_requests: Mapping[str, int]
    tolerations: tuple[Mapping[str, Any], ...]
    node_selector: Mapping[str, str]
    required_node_terms: tuple[Mapping[str, Any], ...] | None
    preferred_node_terms: tuple[tuple[int, Mapping[str, Any]], ...]
    required_affinity: tuple[AffinityTerm, ...]
    required_anti_affinity: tuple[AffinityTerm, ...]
    preferred_affinity: tuple[AffinityTerm, ...]
    spread: tuple[SpreadConstraint, ...]
    ports: frozenset[tuple[str, str, int]]
    images: tuple[str, ...]
    claims: tuple[str, ...]
    is_deleting: bool
    # status.startTime, whose order is that of time; NOT_STARTED, later than all, before there is one.
    started: str
    # preemptionPolicy is Never.
    never_preempts: bool
    # Ends because the scheduler preempted it.
    is_preempted: bool


def info(pod: Object, *, group: selectors.Selector | None = None) -> PodInfo:
    """The facts of a pod; ValueError where a quantity or selector in it can't be read.

    `group` selects the pods that belong together with this one (by service or controller); a pod that states no
    spread constraints is spread over zones and hosts among them, as far as it goes (KEP-1258).
    """
    spec = pod.get("spec") or {}
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    pod_affinity, anti = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    namespace = meta.namespace(pod)
    containers = spec.get("containers") or []
    return PodInfo(
        uid=meta.uid(pod),
        key=meta.key(pod),
        namespace=namespace,
        labels=meta.labels(pod),
        node=str(spec.get("nodeName") or ""),
        priority=int(spec.get("priority") or 0),
        requests=_requests(spec, {}),
        scoring_requests=_requests(spec, _NON_ZERO),
        tolerations=tuple(spec.get("tolerations") or ()),
        node_selector=spec.get("nodeSelector") or {},
        required_node_terms=tuple(required.get("nodeSelectorTerms") or ()) if required is not None else None,
        preferred_node_terms=tuple(
            (int(found["weight"]), found["preference"])
            for found in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        ),
        required_affinity=_required_terms(pod_affinity, pod),
        required_anti_affinity=_required_terms(anti, pod),
        preferred_affinity=_preferred_terms(pod_affinity, pod, 1) + _preferred_terms(anti, pod, -1),
        spread=tuple(_constraint(found, pod) for found in spec.get("topologySpreadConstraints") or [])
        or (_default_spread(group) if group is not None else ()),
        ports=frozenset(_ports(containers, host_network=bool(spec.get("hostNetwork")))),
        images=tuple(str(found.get("image") or "") for found in containers),
        claims=tuple(
            str(found["persistentVolumeClaim"]["claimName"])
            for found in spec.get("volumes") or []
            if found.get("persistentVolumeClaim")
        ),
        is_deleting=meta.is_deleting(pod),
        started=str((pod.get("status") or {}).get("startTime") or NOT_STARTED),
        never_preempts=spec.get("preemptionPolicy") == "Never",
        is_preempted=meta.is_deleting(pod) and _was_preempted(pod),
    )


def _was_preempted(pod: Object) -> bool:
    found = meta.condition(pod, "DisruptionTarget") or {}
    return found.get("status") == "True" and found.get("reason") == PREEMPTED


def amount(resource: str, value: str | int | float) -> int:
    """A quantity in the unit in which the scheduler counts this resource."""
    return quantities.milli(value) if resource == "cpu" else quantities.whole(value)


def _requests(spec: Mapping[str, Any], least: Mapping[str, int]) -> dict[str, int]:
    """The effective requests (KEP-753): containers and sidecars together or the largest init step, plus overhead."""
    regular: dict[str, int] = {}
    for container in spec.get("containers") or []:
        _add(regular, _of(container, least))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or []:
        own = _of(container, least)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            step = sidecars
        else:
            step = dict(sidecars)
            _add(step, own)
        for name, value in step.items():
            peak[name] = max(peak.get(name, 0), value)
    _add(regular, sidecars)
    total = {name: max(regular.get(name, 0), peak.get(name, 0)) for name in {*regular, *peak}}
    # Requests of the pod as a whole replace the sum, resource by resource (KEP-2837).
    total |= {
        name: amount(name, value) for name, value in ((spec.get("resources") or {}).get("requests") or {}).items()
    }
    _add(total, {name: amount(name, value) for name, value in (spec.get("overhead") or {}).items()})
    return total


def _of(container: Mapping[str, Any], least: Mapping[str, int]) -> dict[str, int]:
    stated = (container.get("resources") or {}).get("requests") or {}
    return {**least, **{name: amount(name, value) for name, value in stated.items()}}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _ports(containers: Iterable[Mapping[str, Any]], *, host_network: bool) -> Iterable[tuple[str, str, int]]:
    for container in containers:
        for port in container.get("ports") or []:
            number = port.get("hostPort") or (port.get("containerPort") if host_network else 0)
            if number:
                yield str(port.get("hostIP") or "0.0.0.0"), str(port.get("protocol") or "TCP"), int(number)  # noqa: S104


def _required_terms(affinity: Mapping[str, Any], pod: Object) -> tuple[AffinityTerm, ...]:
    return tuple(_term(found, pod) for found in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or [])


def _preferred_terms(affinity: Mapping[str, Any], pod: Object, sign: int) -> tuple[AffinityTerm, ...]:
    return tuple(
        _term(found["podAffinityTerm"], pod, weight=sign * int(found["weight"]))
        for found in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    )


def _term(term: Mapping[str, Any], pod: Object, *, weight: int = 0) -> AffinityTerm:
    others = term.get("namespaceSelector")
    namespaces = frozenset(term.get("namespaces") or ())
    if not namespaces and others is None:
        namespaces = frozenset((meta.namespace(pod),))
    return AffinityTerm(
        topology_key=term["topologyKey"],
        selector=_selector(term, pod),
        namespaces=namespaces,
        namespace_selector=selectors.from_label_selector(others) if others is not None else None,
        weight=weight,
    )


def _selector(term: Mapping[str, Any], pod: Object) -> selectors.Selector:
    """The term's selector with matchLabelKeys and mismatchLabelKeys filled in from the pod (KEP-3633, KEP-3243)."""
    stated = term.get("labelSelector")
    labels = meta.labels(pod)
    expressions = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or []
        if key in labels
    ]
    if stated is None:
        return selectors.from_label_selector(None)
    return selectors.from_label_selector(
        {**stated, "matchExpressions": [*(stated.get("matchExpressions") or []), *expressions]}
    )


def _default_spread(group: selectors.Selector) -> tuple[SpreadConstraint, ...]:
    return tuple(
        SpreadConstraint(
            max_skew=skew,
            topology_key=key,
            hard=False,
            selector=group,
            min_domains=1,
            honor_affinity=True,
            honor_taints=False,
        )
        for skew, key in ((3, HOSTNAME), (5, ZONE))
    )


def _constraint(found: Mapping[str, Any], pod: Object) -> SpreadConstraint:
    return SpreadConstraint(
        max_skew=int(found["maxSkew"]),
        topology_key=found["topologyKey"],
        hard=found.get("whenUnsatisfiable") == "DoNotSchedule",
        selector=_selector(found, pod),
        min_domains=int(found.get("minDomains") or 1),
        honor_affinity=(found.get("nodeAffinityPolicy") or "Honor") == "Honor",
        honor_taints=found.get("nodeTaintsPolicy") == "Honor",
    )
