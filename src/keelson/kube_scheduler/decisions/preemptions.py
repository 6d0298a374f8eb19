"""DefaultPreemption: which pods of lower priority must leave which node so that a pod finds a place.

Documented in "Pod Priority and Preemption". Sums over all nodes at once tell where the pod would have room without
them; there pods are taken off and put back one by one, which is exact for filters that look beyond a node, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keelson.api import meta, selectors

from .frameworks import Decision, Profile, Trial, tally, unavailable
from .plugins import node_resources_fit
from .pods import PodInfo
from .snapshots import Snapshot

# How many candidates are looked for (minCandidateNodesPercentage, minCandidateNodesAbsolute).
_PERCENT, _AT_LEAST = 10, 100
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
# Makes all priorities positive, so that more victims never add up to less.
_SHIFT = 2**31


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: how many of its pods may still be disrupted, the ones named in `disrupted` not counted."""

    namespace: str
    selector: selectors.Selector
    allowed: int
    disrupted: frozenset[str]

    @classmethod
    def of(cls, budget: Mapping[str, Any]) -> Budget:
        """The facts of a policy/v1 object; ValueError for a selector that can't be read."""
        status = budget.get("status") or {}
        return cls(
            namespace=meta.namespace(budget),
            selector=selectors.from_label_selector((budget.get("spec") or {}).get("selector")),
            allowed=int(status.get("disruptionsAllowed") or 0),
            disrupted=frozenset(status.get("disruptedPods") or ()),
        )

    def concerns(self, pod: PodInfo) -> bool:
        """Whether the pod's end would be charged; as in upstream's scheduler, an empty selector concerns nobody."""
        return (
            self.namespace == pod.namespace
            and not self.selector.empty
            and bool(pod.labels)
            and self.selector.matches(pod.labels)
            and pod.key.rpartition("/")[2] not in self.disrupted
        )


@dataclass(frozen=True, slots=True)
class Preemption:
    """`victims`, the most important first, leave the node `nominate`; or `message` says why nobody has to.

    `nominate` is "" where the pod loses the nomination that it has, None where it keeps it.
    """

    nominate: str | None
    victims: tuple[PodInfo, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: int
    victims: tuple[PodInfo, ...]
    violations: int

    @property
    def cost(self) -> tuple[int, int, int, int]:
        """Less is better: violated budgets, the highest priority, the sum of priorities, the number of victims."""
        return (
            self.violations,
            self.victims[0].priority,
            sum(victim.priority + _SHIFT for victim in self.victims),
            len(self.victims),
        )

    @property
    def started(self) -> str:
        """The earliest start among the victims of the highest priority; later is better."""
        highest = self.victims[0].priority
        return min(victim.started for victim in self.victims if victim.priority == highest)


def preempt(
    profile: Profile,
    snapshot: Snapshot,
    pod: PodInfo,
    decision: Decision,
    budgets: Iterable[Budget],
    *,
    chance: float,
) -> Preemption:
    """Make room for a pod that `decision` found no node for; `chance` in [0, 1) says where the search begins."""
    if pod.never_preempts:
        return Preemption(None, message="not eligible due to preemptionPolicy=Never.")
    if _waits(snapshot, pod, decision):
        return Preemption(None, message="not eligible due to a terminating pod on the nominated node.")
    reasons: Counter[str] = Counter()
    candidates = _candidates(profile, snapshot, pod, decision, tuple(budgets), chance, reasons)
    if not candidates:
        tally(reasons, _NOT_HELPFUL, snapshot.valid & ~decision.resolvable)
        return Preemption("", message=unavailable(decision.nodes, reasons))
    least = min(found.cost for found in candidates)
    best = max((found for found in candidates if found.cost == least), key=lambda found: found.started)
    return Preemption(snapshot.names[best.row], best.victims)


def _waits(snapshot: Snapshot, pod: PodInfo, decision: Decision) -> bool:
    """Whether victims of an earlier preemption for this pod are still on their way out."""
    row = snapshot.nominated_row(pod.uid)
    if row is None or not decision.resolvable[row]:
        return False
    return any(other.priority < pod.priority and other.is_preempted for other in snapshot.pods_on[row].values())


def _candidates(
    profile: Profile,
    snapshot: Snapshot,
    pod: PodInfo,
    decision: Decision,
    budgets: Sequence[Budget],
    chance: float,
    reasons: Counter[str],
) -> list[_Candidate]:
    """Nodes with their victims, those without violated budgets first; `reasons` counts nodes by why they are none."""
    rows = np.flatnonzero(decision.resolvable)
    lower = snapshot.lower(pod.priority)
    if lower is None or not len(rows):
        if len(rows):
            reasons[_NO_VICTIMS] += len(rows)
        return []
    wanted = min(len(rows), max(len(rows) * _PERCENT // 100, _AT_LEAST))
    start = int(chance * len(rows))
    harmless: list[_Candidate] = []
    violating: list[_Candidate] = []
    rivals = snapshot.rivals(pod)
    # Rivals may be what the pod must be near to, or what makes others uneven: it must do without them as well.
    without = _trials(profile, snapshot, pod) if rivals else []
    with snapshot.counting(rivals):
        passing = decision.resolvable & (lower[:, snapshot.resources["pods"]] > 0)
        tally(reasons, _NO_VICTIMS, decision.resolvable & ~passing)
        fits, why, _ = node_resources_fit.without(snapshot, pod, lower)
        tally(reasons, why, passing & ~fits)
        passing &= fits
        trials = _trials(profile, snapshot, pod) + without
        order = np.concatenate([rows[start:], rows[:start]])
        for row in order[passing[order]]:
            found = _victims(trials, snapshot, pod, int(row), budgets)
            if isinstance(found, str):
                reasons[found] += 1
                continue
            (violating if found.violations else harmless).append(found)
            if harmless and len(harmless) + len(violating) >= wanted:
                break
    return harmless[:wanted] + violating[:wanted]


def _trials(profile: Profile, snapshot: Snapshot, pod: PodInfo) -> list[Trial]:
    return [trial for make in profile.trials if (trial := make(snapshot, pod)) is not None]


def _victims(
    trials: Sequence[Trial], snapshot: Snapshot, pod: PodInfo, row: int, budgets: Sequence[Budget]
) -> _Candidate | str:
    """Who must leave the node of this row; a text that says why the pod does not fit even then.

    All of lower priority leave; then those whose end would violate a budget may come back first, then the others, each
    group from the most important on, as long as the pod still fits.
    """

    def move(other: PodInfo, sign: int) -> None:
        for trial in trials:
            trial.move(other, row, sign)

    def refusal() -> str:
        return next((why for trial in trials if (why := trial.refusal(row))), "")

    gone = sorted((other for other in snapshot.pods_on[row].values() if other.priority < pod.priority), key=_importance)
    for other in gone:
        move(other, -1)
    why = refusal()
    victims: list[PodInfo] = []
    violations = 0
    if not why:
        violating, harmless = _by_budget(gone, budgets)
        for others in (violating, harmless):
            for other in others:
                move(other, 1)
                if refusal():
                    move(other, -1)
                    victims.append(other)
            if others is violating:
                violations = len(victims)
        victims.sort(key=_importance)
    for other in gone if why else victims:
        move(other, 1)
    if not victims:
        return why or "expected at least one victim pod"
    return _Candidate(row, tuple(victims), violations)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """The most important first: by priority, then by how long it runs."""
    return -pod.priority, pod.started


def _by_budget(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> tuple[Sequence[PodInfo], Sequence[PodInfo]]:
    """(those whose end would violate a budget if all before them in the list ended, too; the others)."""
    if not budgets:
        return (), pods
    left = [budget.allowed for budget in budgets]
    violating: list[PodInfo] = []
    harmless: list[PodInfo] = []
    for pod in pods:
        violates = False
        for index, budget in enumerate(budgets):
            if budget.concerns(pod):
                left[index] -= 1
                violates = violates or left[index] < 0
        (violating if violates else harmless).append(pod)
    return violating, harmless
