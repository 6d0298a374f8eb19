"""What a PodDisruptionBudget allows: how many pods are healthy, how many must be (policy/v1, "Disruptions").

The budget's status is what the eviction subresource spends from; disruptions it noted there are believed for two
minutes, after which a pod that is still there was not disrupted after all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelson.api import meta
from keelson.api.meta import Object

from . import pods

CONDITION = "DisruptionAllowed"
_BELIEVED_FOR = timedelta(minutes=2)


class UncountableError(Exception):
    """How many pods there should be can't be found out; the message says why."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """`look_again` is in seconds from now, None where only a change brings something new."""

    status: Object
    look_again: float | None


def needs_scales(budget: Object) -> bool:
    """Whether it is stated in relation to how many pods their controllers want."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def outlook(budget: Object, selected: Sequence[Object], scales: Mapping[str, int], now: datetime) -> Outlook:
    """The budget's status. `scales` is what each controller of the pods wants, by its UID, where `needs_scales`."""
    spec, old = budget.get("spec") or {}, budget.get("status") or {}
    disrupted, look_again = _disrupted(selected, old.get("disruptedPods") or {}, now)
    healthy = sum(
        pods.is_ready(pod) and not meta.is_deleting(pod) and meta.name(pod) not in disrupted for pod in selected
    )
    expected = sum(scales.values()) if needs_scales(budget) else len(selected)
    if spec.get("maxUnavailable") is not None:
        desired = max(expected - pods.scaled(spec["maxUnavailable"], expected, round_up=True), 0)
    else:
        desired = pods.scaled(spec.get("minAvailable"), expected, round_up=True)
    # Without pods nothing is allowed: those that come first must not be lost before this was looked at again.
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status: Object = {
        "observedGeneration": int(meta.metadata(budget).get("generation") or 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    reason = "SufficientPods" if allowed else "InsufficientPods"
    status["conditions"] = _conditions(old, status, allowed > 0, reason, "", now)
    return Outlook(status, look_again)


def failed(budget: Object, why: str, now: datetime) -> Object:
    """The status while the budget can't be judged: nothing is allowed."""
    old = budget.get("status") or {}
    status = {**old, "disruptionsAllowed": 0}
    for name in ("currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(name, 0)
    status["conditions"] = _conditions(old, status, False, "SyncFailed", why, now)
    return status


def _conditions(old: Object, status: Object, holds: bool, reason: str, why: str, now: datetime) -> list[Object]:
    conditions = meta.with_condition(
        old.get("conditions") or [],
        type_=CONDITION,
        status=str(holds),
        reason=reason,
        message=why,
        now=now,
        observedGeneration=int(status.get("observedGeneration") or 0),
    )
    # The message is a required field, also where there is nothing to say.
    return [{"message": "", **found} for found in conditions]


def _disrupted(
    selected: Sequence[Object], noted: Mapping[str, str], now: datetime
) -> tuple[dict[str, str], float | None]:
    kept: dict[str, str] = {}
    waits = []
    for pod in selected:
        moment = noted.get(meta.name(pod))
        if moment is None or meta.is_deleting(pod):
            continue
        left = meta.parse_time(moment) + _BELIEVED_FOR - now
        if left >= timedelta(0):
            kept[meta.name(pod)] = moment
            waits.append(left.total_seconds())
    return kept, min(waits) + 0.1 if waits else None


def stale_condition(pod: Object, now: datetime) -> float | None:
    """Seconds until the pod's DisruptionTarget condition is stale (0 where it is); None where it will not be.

    Who announces a disruption deletes the pod at once; where that fails the announcement is taken back.
    """
    found = meta.condition(pod, "DisruptionTarget")
    if meta.is_deleting(pod) or found is None or found.get("status") != "True":
        return None
    if found.get("reason") == "TerminationByKubelet" or pods.phase(pod) in {"Succeeded", "Failed"}:
        return None
    since = meta.parse_time(str(found.get("lastTransitionTime") or meta.format_time(now)))
    return max((since + _BELIEVED_FOR - now).total_seconds(), 0.0)
