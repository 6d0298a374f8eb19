"""The pods that wait for a node: by priority, failed ones backing off, hopeless ones until something changes.

As upstream's scheduling queue: backoff of 1 s doubled up to 10 s per failed attempt; a pod that nothing could help
comes back when the cluster changes in a way that may help it, and after 5 minutes in any case.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from keelson.api import meta
from keelson.api.meta import Object

_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 10.0
_LONGEST_WAIT = 300.0


@dataclass(slots=True)
class _Entry:
    pod: Object
    priority: int
    since: float
    attempts: int = 0
    # When it may be tried again (monotonic); None while it waits for the cluster to change.
    due: float | None = 0.0
    expires: float = field(default=0.0)


class SchedulingQueue:
    """Pods by key. `next` gives the most important one whose time has come."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: dict[str, _Entry] = {}
        # (-priority, since, sequence, key); entries that were changed since are skipped when they come up.
        self._heap: list[tuple[int, float, int, str]] = []
        self._sequence = itertools.count()
        self._changed = asyncio.Event()
        # Keys whose attempt is under way; what changed meanwhile may concern them.
        self._in_flight: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, pod: Object) -> None:
        """A pod that wants a node: new, or changed in a way that may help it."""
        key = meta.key(pod)
        known = self._entries.get(key)
        priority = int(pod["spec"].get("priority") or 0)
        if known is not None:
            changed = known.pod["spec"] != pod["spec"] or meta.labels(known.pod) != meta.labels(pod)
            known.pod, known.priority = pod, priority
            if changed:
                known.due = max(known.due or 0.0, self._backoff_end(known))
                self._push(key, known)
            return
        if key in self._in_flight:
            return
        entry = _Entry(pod, priority, self._monotonic())
        self._entries[key] = entry
        self._push(key, entry)

    def remove(self, key: str) -> None:
        """A pod that wants no node any more."""
        self._entries.pop(key, None)
        self._in_flight.pop(key, None)

    def _push(self, key: str, entry: _Entry) -> None:
        heapq.heappush(self._heap, (-entry.priority, entry.since, next(self._sequence), key))
        self._changed.set()

    def _backoff_end(self, entry: _Entry) -> float:
        if not entry.attempts:
            return self._monotonic()
        return self._monotonic() + min(_FIRST_BACKOFF * 2.0 ** (entry.attempts - 1), _LAST_BACKOFF)

    async def next(self) -> tuple[Object, int]:
        """(the next pod, how often it was tried before); `failed` or `remove` must follow."""
        while True:
            self._changed.clear()
            wait = self._wake()
            key = self._pop()
            if key is not None:
                entry = self._entries.pop(key)
                self._in_flight[key] = False
                return entry.pod, entry.attempts
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _wake(self) -> float | None:
        """Push what became due; seconds until the next one does, None for never."""
        now = self._monotonic()
        soonest: float | None = None
        for key, entry in self._entries.items():
            moment = entry.expires if entry.due is None else entry.due
            if moment <= now:
                if entry.due is None or entry.due > 0.0:
                    entry.due = 0.0
                    self._push(key, entry)
            else:
                soonest = moment if soonest is None else min(soonest, moment)
        return None if soonest is None else soonest - now

    def _pop(self) -> str | None:
        now = self._monotonic()
        while self._heap:
            _, since, _, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is not None and entry.since == since and entry.due is not None and entry.due <= now:
                return key
        return None

    def failed(self, pod: Object, attempts: int, *, hopeless: bool) -> None:
        """The attempt failed. `hopeless`: no node does, wait for a change; otherwise try again after backoff."""
        key = meta.key(pod)
        moved = self._in_flight.pop(key, None)
        if moved is None:
            return
        entry = _Entry(pod, int(pod["spec"].get("priority") or 0), self._monotonic(), attempts + 1)
        entry.expires = self._monotonic() + _LONGEST_WAIT
        # A change that came during the attempt was perhaps not seen by it.
        entry.due = None if hopeless and not moved else self._backoff_end(entry)
        self._entries[key] = entry
        self._changed.set()

    def moved(self) -> None:
        """The cluster changed in a way that may help pods that nothing could help."""
        for key in self._in_flight:
            self._in_flight[key] = True
        for entry in self._entries.values():
            if entry.due is None:
                entry.due = self._backoff_end(entry)
        self._changed.set()
