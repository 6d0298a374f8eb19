"""How the server's seats are divided among priority levels, and how idle ones are lent (KEP-1040, "Borrowing").

Every level has nominal seats by its shares; it may lend a part of them and borrow from others. Ten seconds' demand,
smoothed so that a burst is forgotten in minutes, decides who gets how many for the next ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PERIOD = 10.0
# Of the smoothed demand this much remains a period later: its half-life is five minutes.
_DECAY = 0.977
_LEAST_TARGET = 0.001


@dataclass(frozen=True, slots=True)
class Limits:
    """A level's seats: `nominal` by its shares, never fewer than `least`, never more than `most`."""

    nominal: int
    least: int
    most: int

    @property
    def initial(self) -> int:
        """What a new level begins with: half of what it may lend is lent."""
        return self.nominal - (self.nominal - self.least) // 2


def _terms(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.get("exempt" if spec.get("type") == "Exempt" else "limited") or {}


def nominal(specs: Mapping[str, Mapping[str, Any]], total: int) -> dict[str, Limits]:
    """The limits of each level by its spec; `total` is the server's concurrency."""
    shares = {name: int(_terms(spec).get("nominalConcurrencyShares") or 0) for name, spec in specs.items()}
    whole = sum(shares.values()) or 1
    found = {}
    for name, spec in specs.items():
        seats = math.ceil(total * shares[name] / whole)
        terms = _terms(spec)
        lendable = _rounded(seats * int(terms.get("lendablePercent") or 0) / 100)
        percent = terms.get("borrowingLimitPercent")
        borrowed = total if percent is None else _rounded(seats * int(percent) / 100)
        found[name] = Limits(seats, seats - lendable, seats + borrowed)
    return found


def _rounded(value: float) -> int:
    # Half away from zero, as Go rounds; Python's own goes to even.
    return math.floor(value + 0.5)


class Demand:
    """How many seats a level could use (taken and waited for), over the period that began with `restart`."""

    __slots__ = (
        "_area",
        "_began",
        "_seats",
        "_since",
        "_squares",
        "average",
        "deviation",
        "high",
        "last_high",
        "smoothed",
        "times",
    )

    def __init__(self, now: float) -> None:
        # For how many seconds in all there was a demand of so many seats.
        self.times: dict[int, float] = {}
        self._seats = 0
        self._since = self._began = now
        self._area = self._squares = 0.0
        self.high = 0
        self.last_high = 0
        self.average = self.deviation = self.smoothed = 0.0

    def note(self, seats: int, now: float) -> None:
        """The demand from now on."""
        passed, before = now - self._since, self._seats
        self._area += before * passed
        self._squares += before * before * passed
        self.times[before] = self.times.get(before, 0.0) + passed
        self._since, self._seats = now, seats
        if seats > self.high:
            self.high = seats

    def until(self, now: float) -> dict[int, float]:
        """`times`, with what has passed since the last note."""
        return {**self.times, self._seats: self.times.get(self._seats, 0.0) + now - self._since}

    def restart(self, now: float) -> None:
        """End the period: `last_high`, `average`, `deviation` and `smoothed` are then about it."""
        self.note(self._seats, now)
        self.last_high, self.high = self.high, self._seats
        length = now - self._began
        if length > 0:
            self.average = self._area / length
            self.deviation = math.sqrt(max(self._squares / length - self.average**2, 0.0))
            envelope = self.average + self.deviation
            self.smoothed = max(envelope, _DECAY * self.smoothed + (1 - _DECAY) * envelope)
        self._began = now
        self._area = self._squares = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What one limited level asks for in the next period."""

    limits: Limits
    high: int
    smoothed: float

    @property
    def least(self) -> int:
        """It keeps what it used lately of its own, and always what it does not lend."""
        return max(self.limits.least, min(self.limits.nominal, self.high))

    @property
    def target(self) -> float:
        """What it would like to have."""
        return max(self.least, self.smoothed, _LEAST_TARGET)


def lent(claims: Sequence[Claim], total: int, exempt: int) -> list[int]:
    """The seats of each claim for the next period.

    `total` is the sum of all nominal seats, `exempt` what exempt levels used: where that leaves less than everybody's
    least, all shrink towards what they never lend; otherwise `total` is shared in proportion to the targets.
    """
    left = total - exempt
    floor = sum(claim.limits.least for claim in claims)
    least = sum(claim.least for claim in claims)
    if left <= floor:
        return [claim.limits.least for claim in claims]
    if left <= least:
        part = (left - floor) / (least - floor)
        return [_rounded(claim.limits.least + part * (claim.least - claim.limits.least)) for claim in claims]
    return [_rounded(seats) for seats in fair(claims, total)]


def fair(claims: Sequence[Claim], total: int) -> list[float]:
    """Seats in one proportion to all targets, but within each one's bounds, that add up to `total`.

    Where the bounds do not allow that sum, everybody is at the bound that is nearest to it.
    """

    def allotted(proportion: float) -> list[float]:
        return [min(max(claim.target * proportion, float(claim.least)), float(claim.limits.most)) for claim in claims]

    # The sum grows with the proportion, piece by piece linearly: bisection to where no bound is in force beyond.
    low, high = 0.0, max((claim.limits.most / claim.target for claim in claims), default=0.0)
    for _ in range(64):
        middle = (low + high) / 2
        if sum(allotted(middle)) < total:
            low = middle
        else:
            high = middle
    return allotted(high)


def most_seats(nominal_seats: int, hand_size: int) -> int:
    """The widest that one request of a queuing level may be taken for."""
    return max(1, min(math.ceil(nominal_seats * 0.15), nominal_seats // max(hand_size, 1)))
