"""How fast a HorizontalPodAutoscaler follows what usage asks for: bounds, stabilization, rates (KEP-853).

`History` is what an autoscaler remembers of itself; it is given to each decision and changed by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

# Without rules of its own an autoscaler at most doubles its target at once, and always may add up to four.
_FACTOR, _LEAST = 2.0, 4.0
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_FASTER = "the desired replica count is increasing faster than the maximum scale rate"
_SLOWER = "the desired replica count is decreasing faster than the maximum scale rate"
_MORE = "the desired replica count is more than the maximum replica count"
_FEWER = "the desired replica count is less than the minimum replica count"
_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"


class Change(NamedTuple):
    """How many replicas were added (or removed, below 0) when."""

    moment: datetime
    amount: int


@dataclass(slots=True)
class History:
    """Recommendations and changes, oldest first."""

    recommended: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`replicas`, and (reason, message) of the conditions: whether it could scale, whether it was limited."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    limit: tuple[str, str]


def decided(
    spec: Mapping[str, Any], current: int, wanted: int, history: History, now: datetime, *, window: float
) -> Verdict:
    """The size to have now. `window` is the stabilization before scaling in where the autoscaler states none (s)."""
    least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
    behavior = spec.get("behavior")
    if behavior is None:
        return _plain(current, wanted, least, most, history, now, window)
    up, down = behavior.get("scaleUp") or {}, behavior.get("scaleDown") or {}
    up_window = timedelta(seconds=int(up.get("stabilizationWindowSeconds") or 0))
    stated = down.get("stabilizationWindowSeconds")
    down_window = timedelta(seconds=window if stated is None else int(stated))
    lowest = min([wanted, *(size for moment, size in history.recommended if moment > now - up_window)])
    highest = max([wanted, *(size for moment, size in history.recommended if moment > now - down_window)])
    steady = min(max(current, lowest), highest)
    _remember(history, wanted, now, max(up_window, down_window))
    able = ("ReadyForNewScale", "recommended size matches current size")
    if steady != wanted:
        able = ("ScaleUpStabilized", _LOWER) if wanted >= current else ("ScaleDownStabilized", _HIGHER)
    size, limit = _rated(current, steady, least, most, up, down, history.changes, now)
    return Verdict(size, able, size != steady, limit)


def _plain(current: int, wanted: int, least: int, most: int, history: History, now: datetime, window: float) -> Verdict:
    since = now - timedelta(seconds=window)
    steady = max([wanted, *(size for moment, size in history.recommended if moment >= since)])
    _remember(history, wanted, now, timedelta(seconds=window))
    able = ("ReadyForNewScale", "recommended size matches current size")
    if steady != wanted:
        able = ("ScaleDownStabilized", _HIGHER)
    rate = int(max(_FACTOR * current, _LEAST))
    if steady < least:
        return Verdict(least, able, True, ("TooFewReplicas", _FEWER))
    if steady > min(most, rate):
        limit = ("ScaleUpLimit", _FASTER) if most > rate else ("TooManyReplicas", _MORE)
        return Verdict(min(most, rate), able, True, limit)
    return Verdict(steady, able, False, _WITHIN)


def _remember(history: History, wanted: int, now: datetime, window: timedelta) -> None:
    kept = [entry for entry in history.recommended if entry[0] >= now - window]
    history.recommended = [*kept, (now, wanted)]


def _rated(
    current: int,
    steady: int,
    least: int,
    most: int,
    up: Mapping[str, Any],
    down: Mapping[str, Any],
    changes: Iterable[Change],
    now: datetime,
) -> tuple[int, tuple[str, str]]:
    if steady > current:
        rate = max(_limit(current, up, changes, now, growing=True), current)
        limit = ("ScaleUpLimit", _FASTER) if most > rate else ("TooManyReplicas", _MORE)
        if steady > min(most, rate):
            return min(most, rate), limit
    elif steady < current:
        rate = min(_limit(current, down, changes, now, growing=False), current)
        limit = ("ScaleDownLimit", _SLOWER) if least < rate else ("TooFewReplicas", _FEWER)
        if steady < max(least, rate):
            return max(least, rate), limit
    return steady, _WITHIN


def _limit(current: int, rules: Mapping[str, Any], changes: Iterable[Change], now: datetime, *, growing: bool) -> int:
    """How far the rules let the size go now: each policy speaks of the size at the beginning of its period."""
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    proposals = []
    for policy in rules.get("policies") or ():
        since = now - timedelta(seconds=int(policy["periodSeconds"]))
        begun = current - sum(change.amount for change in changes if change.moment > since)
        value = int(policy["value"])
        if policy.get("type") == "Pods":
            proposals.append(begun + value if growing else begun - value)
        elif growing:
            proposals.append(math.ceil(begun * (1 + value / 100)))
        else:
            proposals.append(int(begun * (1 - value / 100)))
    if not proposals:
        return current
    # The policy that allows most is the highest when growing and the lowest when shrinking.
    choose: Callable[[list[int]], int] = max if (select == "Max") is growing else min
    return choose(proposals)


def changed(spec: Mapping[str, Any], history: History, amount: int, now: datetime) -> None:
    """Note a change of size, and forget what no policy asks for any more."""
    behavior = spec.get("behavior") or {}
    periods = [
        int(policy["periodSeconds"])
        for rules in ("scaleUp", "scaleDown")
        for policy in (behavior.get(rules) or {}).get("policies") or ()
    ]
    since = now - timedelta(seconds=max(periods, default=0))
    history.changes = [*(change for change in history.changes if change.moment > since), Change(now, amount)]
