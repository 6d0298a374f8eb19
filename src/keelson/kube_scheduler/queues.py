"""The pods that wait for a node: by priority, failed ones backing off, hopeless ones until something changes.

As upstream's scheduling queue: backoff of 1 s doubled up to 10 s per failed attempt, counted from the attempt; a pod
that no node does for comes back when the cluster changes in a way that may help it, and after 5 minutes in any case.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from keelson.api import meta
from keelson.api.meta import Object

_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 10.0
_LONGEST_WAIT = 300.0


@dataclass(slots=True)
class _Entry:
    pod: Object
    priority: int
    # When it came, or when its last attempt ended (monotonic).
    since: float
    attempts: int = 0
    # Its place in one of the two heaps; a place of another number is stale.
    turn: int = 0
    # Which plugins rejected it; a change that concerns none of them can't help.
    plugins: frozenset[str] = frozenset()
    # What changed during its attempt: perhaps not seen by it. None: something that may help any pod.
    missed: set[str | None] | None = None


class SchedulingQueue:
    """Pods by key. `next` gives the most important one whose time has come; `failed` or `remove` must follow."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # Invariant: a key is in at most one of `_entries` and `_in_flight`; `_hopeless` is a part of `_entries`.
        self._entries: dict[str, _Entry] = {}
        self._in_flight: dict[str, _Entry] = {}
        self._hopeless: dict[str, _Entry] = {}
        # (-priority, since, turn, key), and (moment, turn, key) of those whose time has not come.
        self._active: list[tuple[int, float, int, str]] = []
        self._timers: list[tuple[float, int, str]] = []
        self._turns = itertools.count(1)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def unschedulable(self) -> int:
        """How many pods wait for a change of the cluster."""
        return len(self._hopeless)

    def add(self, pod: Object) -> None:
        """A pod that wants a node: new, or changed in a way that may help it."""
        key = meta.key(pod)
        known = self._entries.get(key) or self._in_flight.get(key)
        if known is not None and meta.uid(known.pod) != meta.uid(pod):
            self.remove(key)
            known = None
        priority = int(pod["spec"].get("priority") or 0)
        if known is None:
            self._entries[key] = entry = _Entry(pod, priority, self._monotonic())
            self._activate(key, entry)
            return
        changed = known.pod["spec"] != pod["spec"] or meta.labels(known.pod) != meta.labels(pod)
        known.pod, known.priority = pod, priority
        if changed and key in self._in_flight:
            self._miss(known, None)
        elif changed:
            self._back_off(key, known)

    def remove(self, key: str) -> None:
        """A pod that wants no node any more."""
        self._entries.pop(key, None)
        self._in_flight.pop(key, None)
        self._hopeless.pop(key, None)

    def _activate(self, key: str, entry: _Entry) -> None:
        self._hopeless.pop(key, None)
        entry.turn = next(self._turns)
        heapq.heappush(self._active, (-entry.priority, entry.since, entry.turn, key))
        self._changed.set()

    def _wait(self, key: str, entry: _Entry, moment: float) -> None:
        entry.turn = next(self._turns)
        heapq.heappush(self._timers, (moment, entry.turn, key))
        self._changed.set()

    def _back_off(self, key: str, entry: _Entry) -> None:
        """Let it come when its backoff is over, at once where that is past."""
        self._hopeless.pop(key, None)
        delay = min(_FIRST_BACKOFF * 2.0 ** (entry.attempts - 1), _LAST_BACKOFF) if entry.attempts else 0.0
        self._wait(key, entry, entry.since + delay)

    async def next(self) -> Object:
        """The most important pod whose time has come; `failed` or `remove` must follow."""
        while True:
            self._changed.clear()
            now = self._monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, turn, key = heapq.heappop(self._timers)
                due = self._entries.get(key)
                if due is not None and due.turn == turn:
                    self._activate(key, due)
            while self._active:
                _, _, turn, key = heapq.heappop(self._active)
                entry = self._entries.get(key)
                if entry is not None and entry.turn == turn:
                    self._in_flight[key] = self._entries.pop(key)
                    entry.missed = None
                    return entry.pod
            # Cleared before the heaps were read; `_activate` above set it for what was returned or stale.
            self._changed.clear()
            try:
                async with asyncio.timeout(self._timers[0][0] - now if self._timers else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def failed(self, pod: Object, *, hopeless: bool, plugins: frozenset[str] = frozenset()) -> None:
        """The attempt failed. `hopeless`: no node does, `plugins` say so, and only a change helps; else try again."""
        key = meta.key(pod)
        entry = self._in_flight.get(key)
        if entry is None or meta.uid(entry.pod) != meta.uid(pod):
            return
        del self._in_flight[key]
        entry.attempts += 1
        entry.since = self._monotonic()
        entry.plugins = plugins
        self._entries[key] = entry
        if hopeless and not any(_concerns(entry, plugin) for plugin in entry.missed or ()):
            self._hopeless[key] = entry
            self._wait(key, entry, entry.since + _LONGEST_WAIT)
        else:
            self._back_off(key, entry)

    def moved(self, *plugins: str) -> None:
        """The cluster changed in a way that may help pods that these plugins rejected; without names any pod."""
        for entry in self._in_flight.values():
            for plugin in plugins or (None,):
                self._miss(entry, plugin)
        helped = [
            (key, entry)
            for key, entry in self._hopeless.items()
            if not plugins or any(_concerns(entry, plugin) for plugin in plugins)
        ]
        for key, entry in helped:
            self._back_off(key, entry)

    def _miss(self, entry: _Entry, plugin: str | None) -> None:
        if entry.missed is None:
            entry.missed = set()
        entry.missed.add(plugin)


def _concerns(entry: _Entry, plugin: str | None) -> bool:
    return plugin is None or plugin in entry.plugins
