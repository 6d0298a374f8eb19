"""When schedules come round, over months, weeks and changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from keelson.kube_controller_manager.decisions import schedules

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:00:59", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:50:00", "2026-01-01T01:00:00"),
        ("5/20 * * * *", "2026-01-01T00:26:00", "2026-01-01T00:45:00"),
        ("10-12,40 9 * * *", "2026-01-01T09:12:00", "2026-01-01T09:40:00"),
        ("0 0 31 * *", "2026-01-31T00:00:00", "2026-03-31T00:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 12 * * mon-fri", "2026-01-02T12:00:00", "2026-01-05T12:00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 13 * 5", "2026-01-10T00:00:00", "2026-01-13T00:00:00"),
        ("0 0 */2 * 5", "2026-01-02T00:00:00", "2026-01-03T00:00:00"),
        ("0 0 * * 5", "2026-01-02T00:00:00", "2026-01-09T00:00:00"),
        ("@monthly", "2026-12-15T10:00:00", "2027-01-01T00:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:00", "2026-01-01T01:30:00"),
        ("0 0 1 jan,JUL ?", "2026-01-02T00:00:00", "2026-07-01T00:00:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, wanted: str) -> None:
    assert schedules.parse(schedule).after(at(after)) == at(wanted)


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        # The clocks of Berlin leave out 2:00 to 3:00 on 29 March 2026, and repeat it on 25 October.
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-30T00:30:00"),
        ("30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-25T01:30:00"),
        ("0 9 * * *", "2026-03-28T12:00:00", "2026-03-29T07:00:00"),
        ("0 0 * * *", "2026-07-01T12:00:00", "2026-07-01T22:00:00"),
    ],
)
def test_the_next_time_in_berlin(schedule: str, after: str, wanted: str) -> None:
    assert schedules.parse(schedule, BERLIN).after(at(after)) == at(wanted)


def test_a_midnight_that_the_clocks_leave_out_is_passed_over() -> None:
    # Beirut went from 0:00 to 1:00 on 29 March 2026.
    beirut = schedules.parse("0 0 * * *", ZoneInfo("Asia/Beirut"))
    assert beirut.after(at("2026-03-27T22:00:00")) == at("2026-03-29T21:00:00")


def test_a_day_that_never_comes_is_told() -> None:
    assert schedules.parse("0 0 31 2 *").after(at("2026-01-01T00:00:00")) is None


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "@fortnightly", "* * * * 8"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(schedules.ScheduleError):
        schedules.parse(text)
