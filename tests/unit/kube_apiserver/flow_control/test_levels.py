"""Seats and those who wait for them."""

from __future__ import annotations

import asyncio

import pytest

from keelson.kube_apiserver.flow_control.decisions.concurrency import Limits
from keelson.kube_apiserver.flow_control.flows import Flow, Flows, seats
from keelson.kube_apiserver.flow_control.levels import Level, RejectedError
from keelson.kube_apiserver.registry.contexts import ANONYMOUS, User
from keelson.kube_apiserver.serving import request_infos
from keelson.kube_apiserver.serving.messages import Request

_QUEUE: dict[str, object] = {"type": "Queue", "queuing": {"queues": 4, "handSize": 1, "queueLengthLimit": 2}}


def _level(seats_: int, response: dict[str, object]) -> tuple[Level, Flow, Flow]:
    level = Level("test", 0.0)
    level.configure("", {"type": "Limited", "limited": {"limitResponse": response}}, Limits(seats_, seats_, seats_))
    return level, Flow(level, level.tally("a"), (0,), b""), Flow(level, level.tally("b"), (1,), b"")


async def test_who_finds_no_seat_waits_for_one() -> None:
    level, one, other = _level(1, _QUEUE)
    assert level.enter(one.tally, 1)
    assert not level.enter(other.tally, 1)
    waiting = asyncio.create_task(level.wait(other, 1, 10))
    await asyncio.sleep(0)
    assert (level.waiting, other.tally.waiting) == (1, 1)
    level.leave(one.tally, 1)
    ticket = await waiting
    assert (level.in_use, level.waiting, other.tally.executing) == (1, 0, 1)
    level.leave(other.tally, 1, ticket)
    assert (level.in_use, level.executing) == (0, 0)


async def test_nobody_overtakes_those_who_wait() -> None:
    level, one, other = _level(2, _QUEUE)
    assert level.enter(one.tally, 1)
    wide = asyncio.create_task(level.wait(other, 2, 10))
    await asyncio.sleep(0)
    assert not level.enter(one.tally, 1)
    level.leave(one.tally, 1)
    await wide
    assert level.in_use == 2


async def test_queues_fill_up_and_waiting_has_an_end() -> None:
    level, one, other = _level(1, _QUEUE)
    assert level.enter(one.tally, 1)
    tasks = [asyncio.create_task(level.wait(other, 1, 0.01)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    reasons = sorted(result.reason for result in results if isinstance(result, RejectedError))
    assert reasons == ["queue-full", "time-out", "time-out"]
    assert (level.waiting, level.waiting_seats) == (0, 0)
    assert other.tally.rejected == {"queue-full": 1, "time-out": 2}


async def test_a_client_that_leaves_leaves_no_seat_taken() -> None:
    level, one, other = _level(1, _QUEUE)
    assert level.enter(one.tally, 1)
    queued = asyncio.create_task(level.wait(other, 1, 10))
    await asyncio.sleep(0)
    queued.cancel()
    # Its seat comes free in the very moment in which it leaves, and once it was served but does not know it yet.
    level.leave(one.tally, 1)
    assert level.enter(one.tally, 1)
    served = asyncio.create_task(level.wait(other, 1, 10))
    await asyncio.sleep(0)
    level.leave(one.tally, 1)
    served.cancel()
    await asyncio.gather(queued, served, return_exceptions=True)
    assert (level.in_use, level.executing, level.waiting) == (0, 0, 0)


async def test_a_level_without_queues_refuses() -> None:
    level, one, other = _level(1, {"type": "Reject"})
    # Wider than the level is, and served alone all the same.
    assert level.enter(one.tally, 5)
    assert not level.enter(other.tally, 1)
    with pytest.raises(RejectedError, match="concurrency-limit"):
        await level.wait(other, 1, 10)


def _request(target: str) -> Request:
    return Request("GET", target, {}, b"", None)


def test_flows_work_without_any_object() -> None:
    flows = Flows(600, 60)
    flow = flows.of(ANONYMOUS, request_infos.of("GET", "/api/v1/pods"))
    assert (flow.level.name, flow.tally.schema) == ("catch-all", "catch-all")
    masters = User("a", ("system:masters",))
    assert flows.of(masters, request_infos.of("GET", "/api/v1/pods")).level.exempt
    assert flow.level.limit == 600


def test_lists_are_as_wide_as_they_are_long() -> None:
    flow = Flows(600, 60).of(ANONYMOUS, request_infos.of("GET", "/api/v1/pods"))
    listing, watching = request_infos.of("GET", "/api/v1/pods"), request_infos.of("GET", "/api/v1/pods", watch=True)
    assert seats(_request("/api/v1/pods"), listing, flow, 100) == 1
    assert seats(_request("/api/v1/pods"), listing, flow, 450) == 5
    assert seats(_request("/api/v1/pods?limit=200"), listing, flow, 450) == 2
    assert seats(_request("/api/v1/pods"), listing, flow, 100_000) == 10
    assert seats(_request("/api/v1/pods?watch=1&resourceVersion=7"), watching, flow, 450) == 1
    assert seats(_request("/api/v1/pods?watch=1&resourceVersion=0"), watching, flow, 450) == 5
