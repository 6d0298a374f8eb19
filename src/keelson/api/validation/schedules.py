"""The five fields of a cron line, and the time zones that a CronJob may name (batch/v1 CronJobSpec.schedule)."""

from __future__ import annotations

import re

MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least and greatest value, names that stand for values from the least on.
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_RANGE = re.compile(r"(\*|\?|[0-9a-z]{1,9})(?:-([0-9a-z]{1,9}))?(?:/([0-9]{1,9}))?", re.ASCII)
_EVERY = re.compile(r"@every ([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)


def _number(text: str, least: int, known: tuple[str, ...]) -> int | None:
    if text.isdigit():
        return int(text)
    return known.index(text) + least if text in known else None


def _field(text: str, field: tuple[str, int, int, tuple[str, ...]]) -> str:
    _, least, greatest, known = field
    for part in text.lower().split(","):
        found = _RANGE.fullmatch(part)
        if not found:
            return f"failed to parse int from {part}"
        if found[3] is not None and int(found[3]) == 0:
            return f"step of range should be a positive number: {part}"
        if found[1] in "*?":
            continue
        start = _number(found[1], least, known)
        end = start if found[2] is None else _number(found[2], least, known)
        if start is None or end is None:
            return f"failed to parse int from {part}"
        if start < least:
            return f"beginning of range ({start}) below minimum ({least}): {part}"
        if end > greatest:
            return f"end of range ({end}) above maximum ({greatest}): {part}"
        if start > end:
            return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return ""


def complaint(schedule: str) -> str:
    """What is wrong with a cron schedule, "" where nothing is."""
    if schedule.startswith("@"):
        known = schedule in MACROS or _EVERY.fullmatch(schedule)
        return "" if known else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    return next(filter(None, map(_field, fields, FIELDS)), "")


def zone_complaint(zone: str) -> str:
    """What is wrong with the syntax of a time zone's name; whether it exists, the controller's zone data says."""
    if not zone:
        return "timeZone must be nil or non-empty string"
    if zone.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    if not _ZONE.fullmatch(zone) or ".." in zone:
        return f"unknown time zone {zone}"
    return ""
