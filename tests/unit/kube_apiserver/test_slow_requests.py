"""What the log says of requests that take long."""

from __future__ import annotations

import logging
import re

import pytest

from keelson.kube_apiserver.serving import request_infos
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.slow_requests import SlowRequests

_TARGET = "/api/v1/namespaces/a/configmaps?x=y"
_INFO = request_infos.of("POST", "/api/v1/namespaces/a/configmaps")


def _request() -> Request:
    request = Request("POST", _TARGET, {"user-agent": "a\\n\x85b"}, b"", None)
    request.began = 100.0
    request.steps = [("authentication", 100.001), ("authorization", 100.002), ("Conversion done", 100.4),
                     ("Mutating admission done", 100.401), ("Write to database call succeeded", 102.0)]  # fmt: skip
    return request


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_the_steps_that_took_long_are_told(told: pytest.LogCaptureFixture) -> None:
    SlowRequests(lambda: 0.0).tell(_request(), _INFO, 201, 2.0)
    head, *steps, end = told.messages[0].splitlines()
    assert re.match(r'Trace\[1\]: "Create" accept:,.*,namespace:a,resource:configmaps,', head)
    assert f"url:{_TARGET},user-agent:a\\\\n\\x85b,verb:CREATE,code:201 (" in head
    assert head.endswith("(total time: 2000ms):")
    assert [re.sub(r" \(.*\)$", "", step) for step in steps] == [
        'Trace[1]: ---"Conversion done" 398ms',
        'Trace[1]: ---"Write to database call succeeded" 1599ms',
    ]
    assert end == "Trace[1]: [2000ms] END"


def test_time_after_the_last_step_is_told(told: pytest.LogCaptureFixture) -> None:
    SlowRequests(lambda: 0.0).tell(_request(), _INFO, 201, 4.5)
    assert '---"Answer made" 2500ms' in told.messages[0]


def test_what_was_nobodys_fault_is_told(told: pytest.LogCaptureFixture) -> None:
    slow = SlowRequests(lambda: 0.0)
    # Ended before the request came; nothing worth a word; of the last one a part was after the request.
    for due, came in ((90.0, 99.0), (100.1, 100.15), (100.5, 101.0), (101.75, 103.0)):
        slow.stalls.note(due, came)
    slow.tell(_request(), _INFO, 201, 2.0)
    stalls = [message for message in told.messages if not message.startswith("Trace")]
    assert stalls == [f"the event loop stood still for {seconds} ms and served nobody" for seconds in (9000, 500, 1250)]
    assert told.messages[-1].splitlines()[-2:] == [
        "Trace[1]: the event loop stood still for 750ms of it",
        "Trace[1]: [2000ms] END",
    ]


def test_only_a_few_are_told_of_in_a_second(told: pytest.LogCaptureFixture) -> None:
    now = 7.0
    slow = SlowRequests(lambda: now)
    for _ in range(25):
        slow.tell(_request(), _INFO, 201, 2.0)
    assert len(told.messages) == 10
    now = 8.0
    slow.tell(_request(), _INFO, 201, 2.0)
    assert told.messages[10] == "15 more slow requests are not told of"
    assert told.messages[11].startswith("Trace[11]: ")
