"""Who is traced, by what W3C's Trace Context and OpenTelemetry's samplers say."""

from __future__ import annotations

import asyncio
import random

import pytest

from keelson.api import errors
from keelson.kube_apiserver.tracing import spans
from keelson.kube_apiserver.tracing.spans import Link, Span, Tracer

_TRACE, _SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
_NAMED = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{_NAMED}-01", True),
        (f"00-{_NAMED}-00", False),
        (f"00-{_NAMED}-03", True),
        # A later version may say more (Trace Context, 4.3).
        (f"cc-{_NAMED}-01-what-comes", True),
    ],
)
def test_parents_are_read(text: str, sampled: bool) -> None:
    found = spans.parse({"traceparent": text, "tracestate": "a=1"})
    assert found == Link(_TRACE, _SPAN, sampled, "a=1")


@pytest.mark.parametrize(
    "text",
    [
        "", "00", f"00-{_NAMED}", f"00-{_NAMED}-1", f"00-{_NAMED}-01-more", f"ff-{_NAMED}-01", f"0x-{_NAMED}-01",
        f"00-{_NAMED.upper()}-01", f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", f"00-{_NAMED}-01, 00-{_NAMED}-01",
    ],
)  # fmt: skip
def test_what_is_no_parent_is_none(text: str) -> None:
    assert spans.parse({"traceparent": text}) is None


def test_a_share_is_sampled_and_the_short_road_counts() -> None:
    ended: list[Span] = []
    tracer = Tracer(0.1, ended.append, random.Random(7))
    taken = 0
    for number in range(10_000):
        if number % 2 and not tracer.takes_next:
            tracer.skip()
            continue
        span = tracer.root("GET", None, trusted=True)
        # The first half of these is asked without a look at what comes.
        assert number % 2 == 0 or span.recording
        taken += span.recording
        span.leave()
    assert len(ended) == taken
    assert 900 < taken < 1100


def test_only_the_trusted_decide() -> None:
    tracer = Tracer(0.0, lambda _span: None)
    parent = Link(_TRACE, _SPAN, True, "a=1")
    followed = tracer.root("GET", parent, trusted=True)
    assert (followed.trace, followed.parent, followed.recording, followed.state) == (_TRACE, _SPAN, True, "a=1")
    own = tracer.root("GET", parent, trusted=False)
    assert (own.parent, own.recording, own.links) == (0, False, [parent])
    assert own.trace != _TRACE
    assert not tracer.root("GET", Link(_TRACE, _SPAN, False, ""), trusted=True).recording


def test_what_is_not_recorded_hands_its_identity_on() -> None:
    span = Tracer(0.0, lambda _span: None).root("GET", Link(_TRACE, _SPAN, False, "a=1"), trusted=True)
    span.enter()
    with spans.child("inner") as inner:
        assert inner is None
        assert spans.headers() == {"traceparent": f"00-{_TRACE:032x}-{span.identity:016x}-00", "tracestate": "a=1"}
    span.leave()
    assert spans.headers() == {}


async def test_a_task_that_outlives_its_request_adds_nothing_to_it() -> None:
    ended: list[Span] = []
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        with spans.child("late"):
            pass

    span = Tracer(1.0, ended.append).root("GET", None, trusted=False)
    span.enter()
    task = asyncio.create_task(later())
    with spans.child("inner"):
        pass
    span.leave()
    go.set()
    await task
    assert [each.name for each in ended] == ["inner", "GET"]


def test_failures_are_told_and_whose_they_are() -> None:
    ended: list[Span] = []
    root = Tracer(1.0, ended.append).root("GET", None, trusted=False)
    root.enter()
    with pytest.raises(OSError, match="broken"), spans.child("call"):
        raise OSError("broken")
    with pytest.raises(errors.StatusError), spans.child("Get"):
        raise errors.not_found("pods", "a")
    root.leave()
    call, get, _ = ended
    assert call.error == "broken"
    assert call.events[0].attributes["exception.message"] == "broken"
    assert get.error is None
    assert get.events[0].name == "exception"
