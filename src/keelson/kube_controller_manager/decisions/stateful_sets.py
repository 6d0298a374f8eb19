"""What a StatefulSet does next: pods with a name each, their claims, in order or all at once, and its status.

Rules: Kubernetes documentation, "StatefulSets" (pod identity, deployment and scaling guarantees, update strategies,
PersistentVolumeClaim retention). A pod is deleted only by its UID and never by force, and a new one takes the same
name: the API server refuses a second pod of one name, whatever a stale cache makes this module ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from . import pods, stateful_claims
from .revisions import History, template_of

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_MEMBER = re.compile(r"(.*)-([0-9]+)", re.DOTALL)


@dataclass(slots=True)
class Plan:
    """Claims first, then pods; `owners` are claims (by name) whose owner references change; `label` are pods whose
    labels (by name of the pod) must say who they are. `look_again` is in seconds from now."""

    claims: list[Object] = field(default_factory=list)
    create: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    owners: dict[str, list[Object]] = field(default_factory=dict)
    label: dict[str, dict[str, str]] = field(default_factory=dict)
    status: Object = field(default_factory=dict)
    look_again: float | None = None


def ordinal(stateful_set: Object, pod: Object) -> int:
    """The pod's number in the set, -1 where its name is no member's."""
    found = _MEMBER.fullmatch(meta.name(pod))
    return int(found[2]) if found is not None and found[1] == meta.name(stateful_set) else -1


def replicas(stateful_set: Object) -> int:
    """spec.replicas, by default 1."""
    return int(stateful_set["spec"].get("replicas", 1))


def first_ordinal(stateful_set: Object) -> int:
    """The number of the first pod (KEP-3335)."""
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def is_wanted(stateful_set: Object, number: int) -> bool:
    """Whether the set has a pod of this number."""
    start = first_ordinal(stateful_set)
    return start <= number < start + replicas(stateful_set)


def _is_ready(pod: Object) -> bool:
    return pods.phase(pod) == "Running" and pods.is_ready(pod)


class _Turn:
    """One look at a set: who is there, and what follows from it."""

    def __init__(self, stateful_set: Object, history: History, claims: Mapping[str, Object], now: datetime) -> None:
        self.set = stateful_set
        self.history = history
        self.claims = claims
        self.now = now
        self.min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)
        self.ordered = stateful_set["spec"].get("podManagementPolicy") != "Parallel"
        self.plan = Plan()

    def is_available(self, pod: Object) -> bool:
        return pods.is_available(pod, self.min_ready, self.now)

    def is_lost(self, pod: Object | None) -> bool:
        return pod is None or meta.is_deleting(pod) or not self.is_available(pod)

    def fill(self, members: dict[int, Object | None]) -> bool:
        """Create and mend the wanted pods; whether an ordered set must wait here."""
        for number, pod in members.items():
            if pod is None:
                fresh = pod_for(self.set, self.history, number)
                if stateful_claims.is_stale(self.set, fresh, number, self.claims):
                    # It goes with the pod that was scaled down; a new one is made once it is gone.
                    if self.ordered:
                        return True
                    continue
                self._add_claims(number)
                self.plan.create.append(fresh)
            elif pods.phase(pod) in {"Failed", "Succeeded"}:
                if not meta.is_deleting(pod):
                    self.plan.delete.append(pod)
            else:
                if pods.phase(pod) == "Pending":
                    self._add_claims(number)
                if not self.ordered or (_is_ready(pod) and not self.is_lost(pod)):
                    self._mend(pod, number)
                    continue
            if self.ordered:
                return True
        return False

    def _add_claims(self, number: int) -> None:
        for claim in stateful_claims.of(self.set, number):
            if meta.name(claim) not in self.claims:
                self.plan.claims.append(claim)

    def _mend(self, pod: Object, number: int) -> None:
        wanted = _identity(meta.name(pod), number)
        if any(meta.labels(pod).get(name) != value for name, value in wanted.items() if name == NAME_LABEL):
            self.plan.label[meta.name(pod)] = wanted
        self.own(pod, number)

    def own(self, pod: Object, number: int) -> None:
        """Note what the retention policy changes about who owns the pod's claims."""
        kept = is_wanted(self.set, number)
        for template in self.set["spec"].get("volumeClaimTemplates") or ():
            name = stateful_claims.name(self.set, template, number)
            claim = self.claims.get(name)
            owners = stateful_claims.owners(self.set, pod, claim, wanted=kept) if claim is not None else None
            if owners is not None:
                self.plan.owners[name] = owners

    def shrink(self, condemned: Sequence[tuple[int, Object]], first_lost: Object | None) -> bool:
        """Delete what is beyond the set, highest number first; whether an ordered set must wait here."""
        for number, pod in condemned:
            self.own(pod, number)
        for _, pod in condemned:
            if meta.is_deleting(pod):
                if self.ordered:
                    return True
                continue
            if self.ordered and not (_is_ready(pod) and self.is_available(pod)) and pod is not first_lost:
                return True
            self.plan.delete.append(pod)
            if self.ordered:
                return True
        return False

    def roll(self, members: Sequence[Object | None]) -> None:
        """Delete pods of another template, so that the next turns make them anew."""
        strategy = self.set["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        rolling = strategy.get("rollingUpdate") or {}
        partition = int(rolling.get("partition") or 0)
        target = meta.name(self.history.update)
        if rolling.get("maxUnavailable") is not None:
            most = max(pods.scaled(rolling["maxUnavailable"], len(members), round_up=False), 1)
            free = most - sum(self.is_lost(pod) for pod in members)
            for pod in reversed(members[partition:]):
                if free <= 0:
                    return
                if pod is not None and meta.labels(pod).get(REVISION_LABEL) != target and not meta.is_deleting(pod):
                    self.plan.delete.append(pod)
                    free -= 1
            return
        for pod in reversed(members[partition:]):
            if pod is not None and meta.labels(pod).get(REVISION_LABEL) != target and not meta.is_deleting(pod):
                self.plan.delete.append(pod)
                return
            if self.is_lost(pod):
                return


def plan(
    stateful_set: Object, history: History, owned: Sequence[Object], claims: Mapping[str, Object], now: datetime
) -> Plan:
    """The next step of the set, whose pods are `owned` and whose namespace has these claims by name."""
    turn = _Turn(stateful_set, history, claims, now)
    turn.plan.status = status(stateful_set, history, owned, now)
    turn.plan.look_again = pods.next_availability([pod for pod in owned if pods.is_active(pod)], turn.min_ready, now)
    if meta.is_deleting(stateful_set):
        return turn.plan
    start = first_ordinal(stateful_set)
    members: dict[int, Object | None] = dict.fromkeys(range(start, start + replicas(stateful_set)))
    condemned: list[tuple[int, Object]] = []
    for pod in owned:
        number = ordinal(stateful_set, pod)
        if number in members:
            members[number] = pod
        elif number >= 0:
            condemned.append((number, pod))
    condemned.sort(key=lambda entry: -entry[0])
    if turn.fill(members):
        return turn.plan
    if turn.shrink(condemned, _first_lost(turn, members, condemned)):
        return turn.plan
    turn.roll(list(members.values()))
    return turn.plan


def _first_lost(
    turn: _Turn, members: Mapping[int, Object | None], condemned: Sequence[tuple[int, Object]]
) -> Object | None:
    def everyone() -> Iterator[Object | None]:
        yield from members.values()
        yield from (pod for _, pod in reversed(condemned))

    return next((pod for pod in everyone() if turn.is_lost(pod)), None)


def _identity(name: str, number: int) -> dict[str, str]:
    return {NAME_LABEL: name, INDEX_LABEL: str(number)}


def pod_for(stateful_set: Object, history: History, number: int) -> Object:
    """The pod of this number: of the current template below the partition of an update, of the new one above."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate")
    start = first_ordinal(stateful_set)
    if rolling is not None:
        keep = number < start + int(rolling.get("partition") or 0)
    else:
        current = int((stateful_set.get("status") or {}).get("currentReplicas") or 0)
        keep = strategy.get("type", "RollingUpdate") == "RollingUpdate" and number < start + current
    revision = history.current if keep else history.update
    pod = pods.from_template(template_of(revision), stateful_set)
    name = f"{meta.name(stateful_set)}-{number}"
    head = pod["metadata"]
    del head["generateName"]
    head["name"] = name
    head["labels"] |= {**_identity(name, number), REVISION_LABEL: meta.name(revision)}
    spec = pod["spec"]
    spec["hostname"] = name
    if stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = stateful_set["spec"]["serviceName"]
    volumes = stateful_claims.volumes(stateful_set, number)
    if volumes:
        named = {volume["name"] for volume in volumes}
        spec["volumes"] = [*volumes, *(v for v in spec.get("volumes") or () if v.get("name") not in named)]
    return pod


def status(stateful_set: Object, history: History, owned: Sequence[Object], now: datetime) -> Object:
    """The set's status; an update that every pod has is over, and its revision the current one."""
    spec, old = stateful_set["spec"], stateful_set.get("status") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    current, update = meta.name(history.current), meta.name(history.update)
    ready = [pod for pod in owned if _is_ready(pod)]
    staying = [meta.labels(pod).get(REVISION_LABEL) for pod in owned if not meta.is_deleting(pod)]
    counts = {
        "replicas": len(owned),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in ready),
        "currentReplicas": staying.count(current),
        "updatedReplicas": staying.count(update),
    }
    wanted = replicas(stateful_set)
    rolling = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    if rolling and counts["updatedReplicas"] == counts["readyReplicas"] == counts["replicas"] == wanted:
        counts["currentReplicas"], current = counts["updatedReplicas"], update
    result: dict[str, Any] = {
        "observedGeneration": int(meta.metadata(stateful_set).get("generation") or 0),
        **{name: value for name, value in counts.items() if value or name in {"replicas", "availableReplicas"}},
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": int(old.get("collisionCount") or 0),
    }
    if old.get("conditions"):
        result["conditions"] = old["conditions"]
    return result
