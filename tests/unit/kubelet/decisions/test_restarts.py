from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.kubelet.decisions import restarts

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_delay_doubles_to_its_maximum() -> None:
    delay: restarts.Delay | None = None
    moment, waits = _NOW, []
    for _ in range(8):
        wait = restarts.wait(delay, finished=moment, now=moment)
        waits.append(wait)
        moment += timedelta(seconds=wait)
        delay = restarts.counted(delay, finished=moment, now=moment)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_time_since_the_end_counts_and_a_long_run_forgives() -> None:
    delay = restarts.Delay(seconds=160, updated=_NOW)
    finished = _NOW + timedelta(seconds=30)
    assert restarts.wait(delay, finished=finished, now=finished + timedelta(seconds=100)) == 60
    late = _NOW + timedelta(seconds=601)
    assert restarts.wait(delay, finished=late, now=late) == 0
    assert restarts.counted(delay, finished=late, now=late).seconds == restarts.INITIAL


@pytest.mark.parametrize(
    ("policy", "container", "code", "expected"),
    [
        ("Always", {}, 0, True),
        ("OnFailure", {}, 0, False),
        ("OnFailure", {}, 1, True),
        ("Never", {}, 1, False),
        ("Never", {"restartPolicy": "Always"}, 0, True),
        (
            "Never",
            {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]},
            42,
            True,
        ),
        (
            "Never",
            {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]},
            1,
            False,
        ),
        (
            "Never",
            {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0]}}]},
            1,
            True,
        ),
    ],
)
def test_what_is_started_again(policy: str, container: dict[str, Any], code: int, expected: bool) -> None:
    assert restarts.after_exit({"spec": {"restartPolicy": policy}}, container, code) is expected
