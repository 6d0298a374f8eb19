"""Work queues: keys to reconcile, each once at a time, retried with growing delays.

The rules are those of client-go's workqueue: a key added while it waits is one entry; a key added while it is being
worked on is given out again after it is done; a failed key waits 5 ms, doubled at each failure, up to 1,000 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from keelson.api import errors

from . import queue_metrics
from .rest import FencedError

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.005
_LAST_DELAY = 1000.0


class WorkQueue:
    """Keys waiting for work. Single event loop; no locks are needed."""

    def __init__(self, name: str = "") -> None:
        """`name` is the queue's in metrics; one without has none."""
        self.meter = queue_metrics.Meter(name)
        # Insertion-ordered: a queue without duplicates.
        self._waiting: dict[str, None] = {}
        self._working: set[str] = set()
        # Added again while being worked on; moved to `_waiting` when done.
        self._dirty: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Work on this key as soon as a worker is free."""
        if key in self._working:
            if key not in self._dirty:
                self.meter.added += 1
                self._dirty.add(key)
            return
        if key not in self._waiting:
            self.meter.added += 1
            self._wait(key)

    def _wait(self, key: str) -> None:
        self._waiting[key] = None
        self.meter.began_waiting(key)
        self._changed.set()

    def add_after(self, key: str, seconds: float) -> None:
        """`add` after this time; of several such calls the earliest moment counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        moment = loop.time() + seconds
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= moment:
                return
            pending.cancel()
        self._timers[key] = loop.call_at(moment, self._due, key)

    def _due(self, key: str) -> None:
        del self._timers[key]
        self.add(key)

    def retry(self, key: str) -> None:
        """`add` after a delay that doubles with each failure since the last `forget`."""
        self.meter.retried += 1
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(_FIRST_DELAY * 2 ** min(failures, 30), _LAST_DELAY))

    def forget(self, key: str) -> None:
        """The key's work went well: its next failure waits the shortest delay again."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key; the caller must call `done` for it."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._working.add(key)
        self.meter.began_working(key)
        return key

    def done(self, key: str) -> None:
        """The work on this key ended, well or not."""
        self._working.discard(key)
        self.meter.ended_working(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self._wait(key)


async def work(
    name: str, queue: WorkQueue, reconcile: Callable[[str], Awaitable[float | None]], *, workers: int = 1
) -> None:
    """Reconcile keys with this many workers until cancelled.

    `reconcile(key)` returns the seconds after which to look at the key again, or None. A StatusError is an event of
    ordinary life (a conflict, a server away): logged in a line and retried. Anything else is a bug of ours: logged
    whole and retried too, because one poisoned object must not stop the work on all others. What a namespace refuses
    because it goes away is not tried again (API conventions, cause NamespaceTerminating): the object goes with it.
    """

    async def one() -> None:
        while True:
            key = await queue.get()
            try:
                again = await reconcile(key)
            except errors.StatusError as error:
                if error.has_cause("NamespaceTerminating"):
                    queue.forget(key)
                    continue
                level = logging.DEBUG if error.code == 409 else logging.WARNING
                log.log(level, "%s %s: %s", name, key, error.message)
                queue.retry(key)
            except FencedError:
                raise
            except Exception:
                log.exception("%s %s: internal error", name, key)
                queue.retry(key)
            else:
                queue.forget(key)
                if again is not None:
                    queue.add_after(key, again)
            finally:
                queue.done(key)

    with queue.meter.published():
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(one())
