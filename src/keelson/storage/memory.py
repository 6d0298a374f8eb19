"""The store in memory: the port's twin for tests and benchmarks of everything above it.

It keeps every revision until it is compacted, exactly as etcd does, so that lists of the past and watches of the past
behave alike.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Sequence

from .errors import CompactedError, FutureRevisionError, KeyExistsError, RevisionConflictError
from .stores import Batch, Entry, Event, Found, Page


class _Watch:
    def __init__(self, store: MemoryStore, prefix: str, after: int) -> None:
        self._store = store
        self._prefix = prefix
        self._next = after + 1
        self._wanted = asyncio.Event()
        self._progress = False
        self._closed = False

    def wake(self) -> None:
        self._wanted.set()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        while not self._closed:
            self._wanted.clear()
            batch = self._store.since(self._prefix, self._next)
            if batch.events or self._progress:
                self._progress = False
                self._next = batch.revision + 1
                yield batch
                continue
            await self._wanted.wait()

    async def request_progress(self) -> None:
        self._progress = True
        self._wanted.set()

    async def close(self) -> None:
        self._closed = True
        self._wanted.set()
        self._store.forget(self)


class MemoryStore:
    """A `stores.Store` whose content ends with the process."""

    def __init__(self) -> None:
        # etcd's first write is revision 2.
        self._revision = 1
        self._compacted = 0
        self._live: dict[str, Entry] = {}
        self._history: list[Event] = []
        self._watches: set[_Watch] = set()
        self._expiries: set[asyncio.TimerHandle] = set()

    def _write(self, event: Event) -> int:
        self._revision = event.entry.mod_revision
        self._history.append(event)
        if event.deleted:
            del self._live[event.entry.key]
        else:
            self._live[event.entry.key] = event.entry
        for watch in self._watches:
            watch.wake()
        return self._revision

    def since(self, prefix: str, revision: int) -> Batch:
        """What happened below the prefix from `revision` on."""
        if revision < self._compacted:
            raise CompactedError(self._compacted)
        first = bisect.bisect_left(self._history, revision, key=lambda event: event.entry.mod_revision)
        events = [event for event in self._history[first:] if event.entry.key.startswith(prefix)]
        return Batch(events, self._revision)

    def forget(self, watch: _Watch) -> None:
        """Drop a closed watch."""
        self._watches.discard(watch)

    def _at(self, revision: int) -> dict[str, Entry]:
        if revision in (0, self._revision):
            return self._live
        if revision > self._revision:
            raise FutureRevisionError
        if revision < self._compacted:
            raise CompactedError(self._compacted)
        state: dict[str, Entry] = {}
        for event in self._history:
            if event.entry.mod_revision > revision:
                break
            if event.deleted:
                state.pop(event.entry.key, None)
            else:
                state[event.entry.key] = event.entry
        return state

    async def get(self, key: str) -> Found:
        return Found(self._live.get(key), self._revision)

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        state = self._at(revision)
        keys = sorted(key for key in state if key.startswith(prefix) and key >= start)
        chosen = keys[:limit] if limit else keys
        return Page([state[key] for key in chosen], revision or self._revision, len(keys) - len(chosen))

    def _expire(self, key: str, ttl: int, revision: int) -> None:
        if ttl <= 0:
            return

        def end() -> None:
            self._expiries.discard(handle)
            entry = self._live.get(key)
            if entry is not None and entry.mod_revision == revision:
                self._write(Event(Entry(key, b"", 0, self._revision + 1), True))

        handle = asyncio.get_running_loop().call_later(ttl, end)
        self._expiries.add(handle)

    async def create(self, key: str, value: bytes, *, ttl: int = 0) -> int:
        if key in self._live:
            raise KeyExistsError(key)
        revision = self._revision + 1
        self._write(Event(Entry(key, value, revision, revision), False))
        self._expire(key, ttl, revision)
        return revision

    def _expect(self, key: str, expected: int) -> Entry:
        entry = self._live.get(key)
        if entry is None or entry.mod_revision != expected:
            raise RevisionConflictError(key)
        return entry

    async def update(self, key: str, value: bytes, *, expected: int, ttl: int = 0) -> int:
        entry = self._expect(key, expected)
        revision = self._revision + 1
        self._write(Event(Entry(key, value, entry.create_revision, revision), False))
        self._expire(key, ttl, revision)
        return revision

    async def delete(self, key: str, *, expected: int) -> int:
        self._expect(key, expected)
        return self._write(Event(Entry(key, b"", 0, self._revision + 1), True))

    async def watch(self, prefix: str, *, after: int) -> _Watch:
        watch = _Watch(self, prefix, after)
        self._watches.add(watch)
        return watch

    async def revision(self) -> int:
        return self._revision

    async def compact(self, revision: int) -> None:
        if revision <= self._compacted:
            raise CompactedError(self._compacted)
        if revision > self._revision:
            raise FutureRevisionError
        self._compacted = revision
        state = self._at_compaction(revision)
        self._history = [*state, *(event for event in self._history if event.entry.mod_revision > revision)]

    def _at_compaction(self, revision: int) -> Sequence[Event]:
        last: dict[str, Event] = {}
        for event in self._history:
            if event.entry.mod_revision <= revision:
                last[event.entry.key] = event
        return sorted((e for e in last.values() if not e.deleted), key=lambda event: event.entry.mod_revision)

    async def size(self) -> int:
        return sum(len(event.entry.key) + len(event.entry.value) for event in self._history)

    async def close(self) -> None:
        for handle in self._expiries:
            handle.cancel()
        for watch in list(self._watches):
            await watch.close()
