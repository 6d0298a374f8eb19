"""When a cron schedule comes round next, in a time zone (batch/v1 CronJobSpec.schedule).

Days are found on the zone's calendar, hours and minutes by adding time that passes: an hour that the clocks leave out
has no run, and one that they repeat has two. A day must match both day fields where one of them is `*`, else either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from keelson.api.validation.schedules import FIELDS, complaint

# A schedule without a date in so many years has none: the 29th of February may be eight years away.
_HORIZON = timedelta(days=9 * 366)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class ScheduleError(ValueError):
    """Text that is no schedule; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed schedule. `every` is the distance of `@every`; else the five fields hold the values that match."""

    zone: tzinfo = UTC
    every: timedelta | None = None
    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None where there is none."""
        if self.every is not None:
            return (moment + self.every).replace(microsecond=0)
        now = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = now + _HORIZON
        while now < end:
            local = now.astimezone(self.zone)
            if local.month not in self.months:
                first = local.replace(day=1, hour=0, minute=0, fold=0) + timedelta(days=32)
                now = _midnight(first.replace(day=1), self.zone, now)
            elif not self._is_day(local):
                now = _midnight(local + timedelta(days=1), self.zone, now)
            elif local.hour not in self.hours:
                now += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                now += timedelta(minutes=1)
            else:
                return now
        return None

    def _is_day(self, local: datetime) -> bool:
        by_date = local.day in self.days
        # Python's week begins on Monday, cron's on Sunday.
        by_weekday = local.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday


def _midnight(day: datetime, zone: tzinfo, before: datetime) -> datetime:
    """When the day begins, always later than `before`: a midnight that the clocks leave out begins an hour later."""
    begins = datetime.combine(day.date(), time(), zone).astimezone(UTC)
    return max(begins, before + timedelta(minutes=1))


def parse(text: str, zone: tzinfo = UTC) -> Schedule:
    """The schedule that a cron line states. Raises ScheduleError."""
    if why := complaint(text):
        raise ScheduleError(why)
    if text.startswith("@every "):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text.removeprefix("@every ")))
        # Whole seconds, at least one.
        return Schedule(zone, timedelta(seconds=max(int(seconds), 1)))
    parts = _MACROS.get(text, text).split()
    minutes, hours, days, months, weekdays = (
        frozenset(_values(part, field)) for part, field in zip(parts, FIELDS, strict=True)
    )
    either = not (_is_any(parts[2]) or _is_any(parts[4]))
    return Schedule(zone, None, minutes, hours, days, months, weekdays, either)


def _is_any(part: str) -> bool:
    # A step makes a choice of it, as in the reference implementation.
    return any(each.removesuffix("/1") in {"*", "?"} for each in part.split(","))


def _values(part: str, field: tuple[str, int, int, tuple[str, ...]]) -> Iterator[int]:
    _, least, greatest, known = field
    for each in part.lower().split(","):
        span, stepped, step = each.partition("/")
        first, ranged, last = span.partition("-")
        if first in {"*", "?"}:
            low, high = least, greatest
        else:
            low = _number(first, least, known)
            # "5/10" goes on to the end, "5" does not.
            high = _number(last, least, known) if ranged else (greatest if stepped else low)
        yield from range(low, high + 1, int(step or 1))


def _number(text: str, least: int, known: tuple[str, ...]) -> int:
    return int(text) if text.isdigit() else known.index(text) + least
