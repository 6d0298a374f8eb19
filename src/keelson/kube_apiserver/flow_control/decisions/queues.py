"""Fair queuing within a priority level: which of the waiting requests is served next (KEP-1040, "Queuing").

Start-time fair queuing: each queue has a virtual time at which its next request may start, which moves on by the work
of every request served from it; the queue whose head would finish first is next. A queue that was empty joins at the
present virtual time, so that nobody saves up turns. Work is seats times seconds, guessed when a request is served and
put right when it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

# What a request is taken to last before it is known.
_GUESS = 0.003

T = TypeVar("T")


class Entry(Generic[T]):
    """A request that waits (`waiting`), or that was served from a queue or left it."""

    __slots__ = ("payload", "queue", "seats", "since", "waiting")

    def __init__(self, payload: T, seats: int, queue: Queue[T], since: float) -> None:
        self.payload = payload
        self.seats = seats
        self.queue = queue
        self.since = since
        self.waiting = True


class Queue(Generic[T]):
    """`start` is the virtual time of its next request, `work` that of all that wait."""

    __slots__ = ("entries", "start", "work")

    def __init__(self) -> None:
        self.entries: deque[Entry[T]] = deque()
        self.start = 0.0
        self.work = 0.0


class QueueSet(Generic[T]):
    """The queues of one level. Invariant: `active` holds exactly those in which somebody waits."""

    def __init__(self, count: int, length: int) -> None:
        self._queues: list[Queue[T]] = []
        self._length = length
        self._turn = 0
        self._clock = 0.0
        self.active: dict[int, Queue[T]] = {}
        self.resize(count, length)

    def resize(self, count: int, length: int) -> None:
        """Change the number of queues and the most that may wait in one; who waits in a queue that goes is served."""
        self._length = length
        del self._queues[count:]
        self._queues += [Queue[T]() for _ in range(count - len(self._queues))]

    def put(self, payload: T, seats: int, hand: Sequence[int], now: float) -> Entry[T] | None:
        """Let a request wait in the emptiest queue of its flow's hand; None where that one is full."""
        self._turn += 1
        size = len(hand)
        # Begun elsewhere every time, or flows that share cards would meet at the same one.
        cards = [self._queues[hand[(self._turn + i) % size]] for i in range(size)]
        queue = min(cards, key=lambda each: each.work)
        if len(queue.entries) >= self._length:
            return None
        if not queue.entries:
            queue.start = max(queue.start, self._clock)
            self.active[id(queue)] = queue
        entry = Entry(payload, seats, queue, now)
        queue.entries.append(entry)
        queue.work += seats * _GUESS
        return entry

    def head(self) -> Entry[T] | None:
        """The request that is next; it stays where it is until `take`."""
        best: Queue[T] | None = None
        finish = 0.0
        for queue in self.active.values():
            ends = queue.start + queue.entries[0].seats * _GUESS
            if best is None or ends < finish:
                best, finish = queue, ends
        return None if best is None else best.entries[0]

    def take(self, entry: Entry[T], now: float) -> None:
        """Serve the head of a queue."""
        queue = entry.queue
        self._clock = queue.start
        queue.start += entry.seats * _GUESS
        entry.since = now
        self.remove(entry)
        # Among equals the one that was just served comes last.
        if queue.entries:
            self.active[id(queue)] = self.active.pop(id(queue))

    def remove(self, entry: Entry[T]) -> None:
        """Let it wait no longer."""
        queue = entry.queue
        entry.waiting = False
        queue.entries.remove(entry)
        queue.work -= entry.seats * _GUESS
        if not queue.entries:
            queue.work = 0.0
            del self.active[id(queue)]

    def ended(self, entry: Entry[T], now: float) -> None:
        """A request that was served has ended: its queue is charged what it really took."""
        entry.queue.start += entry.seats * (now - entry.since - _GUESS)
