"""A priority level at work: its seats, who sits on them, who waits.

What a seat means on one event loop: a request on a seat has begun and is not answered yet. Of those, one computes at a
time and the others wait for the store or for the cache to be fresh, so that a level's seats bound how much of its work
can stand between any other level's request and its turn. Lists take more seats than one, as they compute longer.
A request that finds a seat pays for a few integers; only where it finds none are there queues, futures and timers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from time import monotonic
from typing import Any

from keelson.component_base import metrics
from keelson.component_base.histograms import Histogram

from .decisions.concurrency import Demand, Limits, most_seats
from .decisions.queues import Entry, QueueSet

_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
SEATS = (1, 2, 4, 8, 16, 32, 64, 100)
_WAITED = metrics.histogram(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "Length of time a request spent waiting in its queue",
    ("priority_level", "flow_schema", "execute"),
    buckets=_BUCKETS,
)
_LENGTHS = metrics.histogram(
    "apiserver_flowcontrol_request_queue_length_after_enqueue",
    "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued",
    ("priority_level", "flow_schema"),
    buckets=(0, 10, 25, 50, 100, 250, 500, 1000),
)


class RejectedError(Exception):
    """The request is not served; `reason` is the metric's: queue-full, concurrency-limit or time-out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Tally:
    """What is counted of one schema's requests at one level."""

    __slots__ = (
        "begun", "dispatched", "executing", "ran", "rejected", "schema", "seats", "waiting", "waiting_seats", "wide",
    )  # fmt: skip

    def __init__(self, schema: str) -> None:
        self.schema = schema
        # Seconds that requests took on their seats: those of watches, which last on, and those of all others.
        self.begun, self.ran = Histogram(_BUCKETS), Histogram(_BUCKETS)
        # Seats of those that took more than one.
        self.wide = Histogram(SEATS)
        self.dispatched = self.executing = self.seats = self.waiting = self.waiting_seats = 0
        self.rejected: dict[str, int] = {}


class Flow:
    """Where requests of one kind go. `head` is the answer's header lines that tell so, `hand` the queues to wait in."""

    __slots__ = ("hand", "head", "level", "tally")

    def __init__(self, level: Level, tally: Tally, hand: Sequence[int], head: bytes) -> None:
        self.level = level
        self.tally = tally
        self.hand = hand
        self.head = head


# A request that waits: what its task awaits, and where it is counted.
_Waiter = tuple["asyncio.Future[None]", Tally]
Ticket = Entry[_Waiter]


class Level:
    """One priority level. Invariants: `in_use` is the sum of seats of what was admitted and has not left; `waiting`
    and `waiting_seats` count what is in queues."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.limits = Limits(0, 0, 0)
        # How many seats there are now, which lending changes.
        self.limit: float = 0
        self.most_seats = 1
        self.in_use = self.executing = self.waiting = self.waiting_seats = 0
        self.demand = Demand(now)
        self.target = 0.0
        self.tallies: dict[str, Tally] = {}
        self._queues: QueueSet[_Waiter] | None = None

    def configure(self, uid: str, spec: dict[str, Any], limits: Limits) -> None:
        """Take on another spec; who waits keeps waiting. `limit` is only set where it was never."""
        fresh = not self.limit
        self.uid = uid
        self.exempt = spec.get("type") == "Exempt"
        self.limits = limits
        if self.exempt:
            self.limit = math.inf
        elif fresh:
            self.limit = limits.initial
        queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
        if queuing is None:
            self.most_seats = 10
            return
        count, length = int(queuing.get("queues") or 64), int(queuing.get("queueLengthLimit") or 50)
        self.most_seats = min(most_seats(limits.nominal, int(queuing.get("handSize") or 8)), 10)
        if self._queues is None:
            self._queues = QueueSet(count, length)
        else:
            self._queues.resize(count, length)

    def tally(self, schema: str) -> Tally:
        """The counters of a schema at this level."""
        found = self.tallies.get(schema)
        if found is None:
            found = self.tallies[schema] = Tally(schema)
        return found

    def set_limit(self, seats: int) -> None:
        """Give the level more or fewer seats from now on; an exempt one always has enough."""
        if not self.exempt:
            self.limit = seats
            self._serve()

    def _fits(self, seats: int) -> bool:
        # A request wider than the whole level is served alone.
        return self.in_use + seats <= self.limit or not self.executing

    def enter(self, tally: Tally, seats: int) -> bool:
        """Take the seats at once; False where the request has to wait (`wait`) or be refused."""
        if self.waiting or (self.executing and self.in_use + seats > self.limit):
            return False
        self._sit(tally, seats)
        return True

    def _sit(self, tally: Tally, seats: int) -> None:
        self.in_use += seats
        self.executing += 1
        tally.executing += 1
        tally.seats += seats
        tally.dispatched += 1
        if seats > 1:
            tally.wide.note(seats)
        self.demand.note(self.in_use + self.waiting_seats, monotonic())

    def leave(self, tally: Tally, seats: int, ticket: Ticket | None = None) -> None:
        """Give the seats back; `ticket` is what `wait` returned."""
        now = monotonic()
        self.in_use -= seats
        self.executing -= 1
        tally.executing -= 1
        tally.seats -= seats
        self.demand.note(self.in_use + self.waiting_seats, now)
        if ticket is not None and self._queues is not None:
            self._queues.ended(ticket, now)
        if self.waiting:
            self._serve()

    async def wait(self, flow: Flow, seats: int, seconds: float) -> Ticket:
        """Wait for the seats, at most for so long; they are taken on return. Raises RejectedError."""
        tally = flow.tally
        now = monotonic()
        if self._queues is None or not flow.hand:
            raise self._rejected(tally, "concurrency-limit")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = self._queues.put((future, tally), seats, flow.hand, now)
        if ticket is None:
            raise self._rejected(tally, "queue-full")
        self._count_waiting(tally, 1, seats, now)
        _LENGTHS.labels(self.name, tally.schema).observe(len(ticket.queue.entries))
        self._serve()
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                return ticket
            self._give_up(ticket)
            _WAITED.labels(self.name, tally.schema, "false").observe(monotonic() - now)
            raise self._rejected(tally, "time-out") from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # It was served in the moment in which its client left.
                self.leave(tally, seats, ticket)
            else:
                self._give_up(ticket)
            raise
        _WAITED.labels(self.name, tally.schema, "true").observe(monotonic() - now)
        return ticket

    def _give_up(self, ticket: Ticket) -> None:
        assert self._queues is not None
        if ticket.waiting:
            self._queues.remove(ticket)
            self._count_waiting(ticket.payload[1], -1, -ticket.seats, monotonic())
        # It may have been the head that was too wide for the seats that are free.
        self._serve()

    def _rejected(self, tally: Tally, reason: str) -> RejectedError:
        tally.rejected[reason] = tally.rejected.get(reason, 0) + 1
        return RejectedError(reason)

    def _count_waiting(self, tally: Tally, requests: int, seats: int, now: float) -> None:
        self.waiting += requests
        self.waiting_seats += seats
        tally.waiting += requests
        tally.waiting_seats += seats
        self.demand.note(self.in_use + self.waiting_seats, now)

    def _serve(self) -> None:
        """Seat as many of those who wait as there is room for, each in its turn."""
        while self._queues is not None and (ticket := self._queues.head()) is not None and self._fits(ticket.seats):
            now = monotonic()
            future, tally = ticket.payload
            self._count_waiting(tally, -1, -ticket.seats, now)
            if future.cancelled():
                # Its client left or its time is up, and its task did not have its turn yet.
                self._queues.remove(ticket)
                continue
            self._queues.take(ticket, now)
            self._sit(tally, ticket.seats)
            future.set_result(None)
