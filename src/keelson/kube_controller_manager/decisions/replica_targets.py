"""From measured usage to a number of replicas (Kubernetes documentation, "Horizontal Pod Autoscaling").

Amounts are in thousandths. Pods without a sample, and pods too young to be believed, count against the change that the
others ask for: as idle when more pods are wanted, as busy when fewer are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelson.api import meta, quantities
from keelson.api.meta import Object

from . import pods

_MOST = 2**31 - 1


class UncomputableError(Exception):
    """No number follows from what is known; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One pod's usage over the `window` (in seconds) that ended at `moment`."""

    value: int
    moment: datetime
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far usage may be from its target, as a share of it, before anything is done; up and down."""

    up: float = 0.1
    down: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio of usage and target is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a pod's CPU usage says nothing after its start, and how long its first readiness may take (s)."""

    initialization: float = 300.0
    readiness: float = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """How many replicas, and the usage that says so: on average a pod (or in all), and in percent of requests."""

    replicas: int
    usage: int
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class _Groups:
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def _grouped(
    selected: Sequence[Object], samples: Mapping[str, Sample], resource: str, patience: Patience, now: datetime
) -> _Groups:
    ready = 0
    found: dict[str, set[str]] = {"unready": set(), "missing": set(), "ignored": set()}
    for pod in selected:
        name = meta.name(pod)
        if meta.is_deleting(pod) or pods.phase(pod) == "Failed":
            found["ignored"].add(name)
        elif pods.phase(pod) == "Pending":
            found["unready"].add(name)
        elif name not in samples:
            found["missing"].add(name)
        elif resource == "cpu" and _is_too_young(pod, samples[name], patience, now):
            found["unready"].add(name)
        else:
            ready += 1
    return _Groups(ready, *(frozenset(found[name]) for name in ("unready", "missing", "ignored")))


def _is_too_young(pod: Object, sample: Sample, patience: Patience, now: datetime) -> bool:
    """Starting costs CPU: what a pod used before it was ready says nothing of what it needs."""
    condition = meta.condition(pod, "Ready")
    started = (pod.get("status") or {}).get("startTime")
    if condition is None or not started:
        return True
    since = meta.parse_time(str(condition.get("lastTransitionTime") or started))
    begun = meta.parse_time(started)
    unready = condition.get("status") == "False"
    if begun + timedelta(seconds=patience.initialization) > now:
        return unready or sample.moment < since + timedelta(seconds=sample.window)
    # Never ready yet, as opposed to not any more.
    return unready and begun + timedelta(seconds=patience.readiness) > since


def _weighed(
    current: int,
    groups: _Groups,
    samples: Mapping[str, Sample],
    tolerance: Tolerance,
    ratio_of: Callable[[Mapping[str, int]], float],
    busy: Callable[[str], int],
) -> int:
    values = {name: each.value for name, each in samples.items() if name not in groups.ignored | groups.unready}
    if not values:
        raise UncomputableError("did not receive metrics for targeted pods (pods might be unready)")
    ratio = ratio_of(values)
    grows_with_unready = bool(groups.unready) and ratio > 1.0
    if not grows_with_unready and not groups.missing:
        return current if tolerance.holds(ratio) else min(math.ceil(ratio * groups.ready), _MOST)
    if ratio < 1.0:
        values |= {name: busy(name) for name in groups.missing}
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if grows_with_unready:
        values |= dict.fromkeys(groups.unready, 0)
    weighed = ratio_of(values)
    if tolerance.holds(weighed) or (ratio < 1.0 < weighed) or (weighed < 1.0 < ratio):
        return current
    wanted = math.ceil(weighed * len(values))
    turned = (weighed < 1.0 and wanted > current) or (weighed > 1.0 and wanted < current)
    return current if turned else min(wanted, _MOST)


def _known(selected: Sequence[Object]) -> Sequence[Object]:
    if not selected:
        raise UncomputableError("no pods returned by selector while calculating replica count")
    return selected


def by_utilization(
    current: int,
    percent: int,
    selected: Sequence[Object],
    samples: Mapping[str, Sample],
    *,
    resource: str,
    container: str = "",
    tolerance: Tolerance,
    patience: Patience,
    now: datetime,
) -> Target:
    """For a usage of so many percent of what pods (or one container of each) request. Raises UncomputableError."""
    groups = _grouped(_known(selected), samples, resource, patience, now)
    requests = {meta.name(pod): requested(pod, resource, container) for pod in selected}

    def totals(values: Mapping[str, int]) -> tuple[int, int, int]:
        known = [name for name in values if name in requests]
        total = sum(requests[name] for name in known)
        if not total:
            raise UncomputableError("no metrics returned matched known pods")
        used = sum(values[name] for name in known)
        return used * 100 // total, used, len(known)

    replicas = _weighed(
        current,
        groups,
        samples,
        tolerance,
        lambda values: totals(values)[0] / percent,
        lambda name: requests[name] * max(100, percent) // 100,
    )
    believed = {name: each.value for name, each in samples.items() if name not in groups.ignored | groups.unready}
    utilization, used, count = totals(believed)
    return Target(replicas, used // count, utilization)


def by_average(
    current: int,
    target: int,
    selected: Sequence[Object],
    samples: Mapping[str, Sample],
    *,
    resource: str = "",
    tolerance: Tolerance,
    patience: Patience,
    now: datetime,
) -> Target:
    """For so much usage a pod. Raises UncomputableError."""
    groups = _grouped(_known(selected), samples, resource, patience, now)

    def average(values: Mapping[str, int]) -> int:
        return sum(values.values()) // len(values)

    replicas = _weighed(current, groups, samples, tolerance, lambda values: average(values) / target, lambda _: target)
    believed = {name: each.value for name, each in samples.items() if name not in groups.ignored | groups.unready}
    return Target(replicas, average(believed))


def by_value(current: int, target: int, value: int, selected: Sequence[Object], *, tolerance: Tolerance) -> Target:
    """For a value of something else that should be so large in all. Raises UncomputableError."""
    ratio = value / target
    if not current:
        return Target(min(math.ceil(ratio), _MOST), value)
    if tolerance.holds(ratio):
        return Target(current, value)
    ready = sum(pods.phase(pod) == "Running" and pods.is_ready(pod) for pod in _known(selected))
    return Target(min(math.ceil(ratio * ready), _MOST), value)


def by_share(present: int, target: int, value: int, *, tolerance: Tolerance) -> Target:
    """For a value of something else that should be so large a pod; `present` is how many pods there are."""
    share = math.ceil(value / present) if present else value
    if present and tolerance.holds(value / (target * present)):
        return Target(present, share)
    return Target(min(math.ceil(value / target), _MOST), share)


def requested(pod: Object, resource: str, container: str = "") -> int:
    """What a pod, or one of its containers, requests. Raises UncomputableError where it does not say."""
    spec, name = pod.get("spec") or {}, meta.name(pod)
    whole = (spec.get("resources") or {}).get("requests")
    if whole and not container:
        if resource not in whole:
            raise UncomputableError(f"missing pod-level request for {resource} in Pod {name}")
        return quantities.milli(whole[resource])
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    total = 0
    for each in (*(spec.get("containers") or ()), *sidecars):
        if container and each.get("name") != container:
            continue
        stated = ((each.get("resources") or {}).get("requests") or {}).get(resource)
        if stated is None:
            raise UncomputableError(f"missing request for {resource} in container {each.get('name')} of Pod {name}")
        total += quantities.milli(stated)
        if container:
            return total
    if container:
        raise UncomputableError(f"container {container} not found in Pod {name}")
    return total
