"""The feed: one watch on the store keeps every collection current.

One watch on the whole prefix, and not one a resource: events of different resources then come in the order of their
revisions, any event proves that every collection is complete up to it, and a single progress request answers for all.
A collection is loaded when it is first asked for; events of resources that nobody asked for are dropped unread.

Consistent reads (KEP-2340): the store is asked for its revision once for all reads that wait, and a read is answered
from the cache when the feed has reached it.

Where history has a gap (compaction overtook the feed, or the store was restored from a snapshot and its revision went
back) every collection is loaded anew, and watchers are told that they have to list again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from keelson.api import errors
from keelson.api.errors import StatusError
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Event, Store, Watch

from .collections import Change, Collection
from .items import Decode, Indexer, Item

log = logging.getLogger(__name__)

_PAGE = 5000
# Bytes in the store that are no object must not keep the others from being served.
_UNREADABLE = (ValueError, KeyError, TypeError, StatusError, storage_errors.TransformError)
_RETRY_SECONDS = 0.5
# How often progress is asked for again while a read waits for it, and after how many times a watch that tells none is
# given up: a connection that was cut may stay silent for minutes. Times are counted and not seconds, because a server
# that has more to do than it can is late in hearing what was told.
_PROGRESS_SECONDS = 0.1
_MOST_UNANSWERED = 30
# How long a write's answer is held back at most for the event of that write. It is a millisecond away nearly always;
# whoever has to wait longer has a store that is in trouble, and is better served by an answer.
_TELLING_SECONDS = 0.1

Asker = Callable[[int, "storage_errors.StorageError | None"], None]


class _Source:
    """A collection with what feeds it.

    `held` keeps the events that come while it is being listed and is None otherwise; `listed` says that events are to
    be taken; `ready` is set once the feed has told everything up to the list.
    """

    def __init__(self, collection: Collection, decode: Decode) -> None:
        self.collection = collection
        self.decode = decode
        self.ready = asyncio.Event()
        self.loading: asyncio.Task[None] | None = None
        self.held: list[Event] | None = None
        self.listed = False
        self.removed = False

    def item(self, key: str, value: bytes, revision: int) -> Item:
        return self.collection.indexer.item(key, self.decode(key, value), revision)


class Feed:
    """Keeps collections current. `run` must be running for anything to move.

    Invariant: `revision` never falls, and every ready collection holds everything up to it.
    """

    def __init__(self, store: Store, root: str = "/registry/", *, telling_seconds: float = _TELLING_SECONDS) -> None:
        self._store = store
        self._root = root
        self._telling_seconds = telling_seconds
        self._sources: dict[str, _Source] = {}
        # Length of prefix in path segments is not fixed (services/specs): sources are found by their prefixes.
        self._by_segment: dict[str, list[_Source]] = {}
        self._watch: Watch | None = None
        self.revision = 0
        self.connected = asyncio.Event()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        # Answers that wait for their events, by revision; and the same, by how long they may. Futures that are done
        # may be in either.
        self._telling: list[tuple[int, int, asyncio.Future[None]]] = []
        self._patience: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._sequence = 0
        self._askers: list[Asker] = []
        self._asking = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._prodding: asyncio.Task[None] | None = None
        self._batches = 0
        # How often history was given up.
        self._resets = 0
        # What the store has forgotten: no list is answered of a revision before it.
        self.oldest = 0

    def compacted(self, revision: int) -> None:
        """The store's history before `revision` is gone."""
        self.oldest = max(self.oldest, revision)

    def add(self, prefix: str, indexer: Indexer, decode: Decode) -> Collection:
        """Declare a collection of the keys below `prefix`, which ends with "/". It is loaded by `ready`."""
        collection = Collection(prefix, indexer)
        self._sources[prefix] = source = _Source(collection, decode)
        self._by_segment.setdefault(self._segment(prefix), []).append(source)
        return collection

    def remove(self, prefix: str) -> None:
        """Forget a collection, as when a CRD goes."""
        source = self._sources.pop(prefix, None)
        if source is not None:
            segment = self._segment(prefix)
            self._by_segment[segment].remove(source)
            if not self._by_segment[segment]:
                del self._by_segment[segment]
            if source.loading is not None:
                source.loading.cancel()
            # Whoever waits for it is to see that it is gone.
            source.removed = True
            source.ready.set()

    def _segment(self, key: str) -> str:
        return key[len(self._root) :].partition("/")[0]

    async def ready(self, prefix: str) -> Collection:
        """The collection once it is loaded; starts loading where nobody did yet. Raises StatusError 404."""
        source = self._sources.get(prefix)
        if source is None:
            raise errors.path_not_found()
        if not source.ready.is_set():
            if source.loading is None:
                self._begin(source)
            await source.ready.wait()
            if source.removed:
                raise errors.path_not_found()
        return source.collection

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _begin(self, source: _Source) -> None:
        if source.loading is not None:
            source.loading.cancel()
        source.ready.clear()
        source.listed, source.held = False, []
        source.loading = self._spawn(self._load(source))

    async def _load(self, source: _Source) -> None:
        """List the collection; events that the feed brings meanwhile are applied after it."""
        while True:
            try:
                await self.connected.wait()
                items: list[Item] = []
                page = await self._store.list(source.collection.prefix, limit=_PAGE)
                revision = page.revision
                while True:
                    for entry in page.entries:
                        try:
                            items.append(source.item(entry.key, entry.value, entry.mod_revision))
                        except storage_errors.KeyServiceError:
                            # All of it can be read once the keys can be had: nothing may seem to be gone meanwhile.
                            raise
                        except _UNREADABLE as error:
                            log.error("%s can't be read and is left out: %s", entry.key, error)
                    if not page.remaining:
                        break
                    page = await self._store.list(
                        source.collection.prefix, limit=_PAGE, start=page.entries[-1].key + "\0", revision=revision
                    )
            except storage_errors.StorageError as error:
                log.warning("loading %s: %s", source.collection.prefix, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            source.collection.replace(items, revision)
            held, source.held, source.listed = source.held or [], None, True
            try:
                for event in held:
                    self._take(source, event)
            except storage_errors.KeyServiceError as error:
                log.warning("loading %s: %s", source.collection.prefix, error)
                source.held, source.listed = [], False
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            break
        # The list may be ahead of the feed; the collection must not be seen before the feed has caught up.
        await self.reach(revision)
        source.ready.set()

    async def run(self) -> None:
        """Follow the store for ever."""
        while True:
            try:
                await self._follow()
            except storage_errors.CompactedError:
                log.warning("the store has forgotten revision %d; every collection is loaded anew", self.revision)
                self._reset()
            except storage_errors.UnavailableError as error:
                log.warning("the feed is interrupted: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                self.connected.clear()
                if self._watch is not None:
                    await self._watch.close()
                    self._watch = None

    async def _follow(self) -> None:
        """Take in one watch to its end."""
        revision = await self._store.revision()
        if not self.revision:
            self._advance(revision)
        elif revision < self.revision:
            # A watch after a revision that has yet to come would be silent until then.
            self._rewind(revision)
            self._advance(revision)
        resets = self._resets
        self._watch = await self._store.watch(self._root, after=self.revision)
        self.connected.set()
        async for batch in self._watch:
            if self._resets != resets:
                # It tells of a history that was given up.
                return
            self._batches += 1
            self._deliver(batch.events)
            self._advance(batch.revision)

    def _rewind(self, revision: int) -> None:
        log.error(
            "the store went back from revision %d to %d: every collection is loaded anew", self.revision, revision
        )
        self._reset()

    def _reset(self) -> None:
        self.revision = self.oldest = 0
        self._resets += 1
        for source in self._sources.values():
            if source.loading is not None:
                # Its watchers can't be told what they missed.
                source.collection.gaps += 1
                source.collection.expire()
                self._begin(source)
        if self._watch is not None:
            self._spawn(self._watch.close())

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        for waiting in (self._waiting, self._telling):
            while waiting and waiting[0][0] <= self.revision:
                future = heapq.heappop(waiting)[2]
                if not future.done():
                    future.set_result(None)

    def _find(self, key: str) -> _Source | None:
        for source in self._by_segment.get(self._segment(key), ()):
            if key.startswith(source.collection.prefix):
                return source
        return None

    def _take(self, source: _Source, event: Event) -> Change | None:
        entry = event.entry
        item = None
        if not event.deleted:
            try:
                item = source.item(entry.key, entry.value, entry.mod_revision)
            except storage_errors.KeyServiceError:
                raise
            except _UNREADABLE as error:
                log.error("%s can't be read and is left out: %s", entry.key, error)
        return source.collection.apply(entry.key, entry.mod_revision, item, time.monotonic())

    def _deliver(self, events: Sequence[Event]) -> None:
        told: dict[str, tuple[Collection, list[Change]]] = {}
        for event in events:
            source = self._find(event.entry.key)
            if source is None:
                continue
            source.collection.received += 1
            if source.held is not None:
                source.held.append(event)
            elif source.listed:
                try:
                    change = self._take(source, event)
                except storage_errors.KeyServiceError as error:
                    log.warning("%s is loaded anew when the keys can be had: %s", source.collection.prefix, error)
                    source.collection.gaps += 1
                    source.collection.expire()
                    self._begin(source)
                    continue
                if change is not None:
                    told.setdefault(source.collection.prefix, (source.collection, []))[1].append(change)
        for collection, changes in told.values():
            collection.tell(changes)

    async def reach(self, revision: int) -> None:
        """Wait until the feed has told everything up to `revision`."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._waiting, (revision, self._sequence, future))
        if self._prodding is None or self._prodding.done():
            self._prodding = self._spawn(self._prod())
        await future

    async def told(self, prefix: str, revision: int) -> None:
        """Wait until those who watch the resource were told of a write, where anybody does; for a tenth of a second.

        A controller that is answered before its informer hears of the write works on what it has just changed, and
        upstream's say so and start over. Store and watch are one connection, but what comes second may come a turn of
        the event loop later: some requests, so some milliseconds.
        """
        source = self._sources.get(prefix)
        if source is None or not source.collection.groups or not self.connected.is_set():
            return
        if self.revision >= revision:
            # What was told in this turn of the event loop is sent at its end, and so would the answer be.
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._sequence += 1
        heapq.heappush(self._telling, (revision, self._sequence, future))
        if not self._patience:
            loop.call_later(self._telling_seconds, self._lose_patience)
        self._patience.append((loop.time() + self._telling_seconds, future))
        await future

    def _lose_patience(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._patience and (self._patience[0][0] <= now or self._patience[0][1].done()):
            future = self._patience.popleft()[1]
            if not future.done():
                future.set_result(None)
        if self._patience:
            loop.call_later(self._patience[0][0] - now, self._lose_patience)
        else:
            # What is left was answered without it.
            self._telling.clear()

    async def _prod(self) -> None:
        """Ask for progress as long as somebody waits for it; the store may leave a request unanswered."""
        heard, unanswered = self._batches, 0
        while self._waiting:
            unanswered += 1
            if heard != self._batches or not self.connected.is_set():
                heard, unanswered = self._batches, 0
            if self._watch is not None and unanswered > _MOST_UNANSWERED:
                log.warning("the feed's watch is silent and is replaced")
                await self._watch.close()
            elif self._watch is not None:
                try:
                    await self._watch.request_progress()
                except storage_errors.UnavailableError:
                    log.debug("no progress can be asked for while the feed is interrupted")
            waiters = [entry[2] for entry in self._waiting if not entry[2].done()]
            if not waiters:
                self._waiting.clear()
                return
            await asyncio.wait(waiters, timeout=_PROGRESS_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    def ask(self, asker: Asker) -> None:
        """Have `asker` told a revision that the store had after now: one question for all who ask at the same time.

        It is called with (revision, None), or with (0, why none could be had). It must not raise.
        """
        # The question under way may have been answered before now, so whoever comes while it is waits for the next.
        self._askers.append(asker)
        if not self._asking:
            self._asking = True
            self._spawn(self._answer())

    async def current(self) -> int:
        """A revision that the store had after this call began. Raises storage's errors."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def tell(revision: int, error: storage_errors.StorageError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(revision)
            else:
                future.set_exception(error)

        self.ask(tell)
        return await future

    async def _answer(self) -> None:
        try:
            while self._askers:
                asked, self._askers = self._askers, []
                resets, known = self._resets, self.revision
                revision, failure = 0, None
                try:
                    revision = await self._store.revision()
                except storage_errors.StorageError as error:
                    failure = error
                    # The store had its whole timeout: who came meanwhile is not kept waiting for another.
                    asked += self._askers
                    self._askers = []
                else:
                    if revision < known and resets == self._resets:
                        self._rewind(revision)
                for asker in asked:
                    asker(revision, failure)
        finally:
            self._asking = False

    def loaded(self, prefix: str) -> Collection | None:
        """The collection where it is loaded already."""
        source = self._sources.get(prefix)
        return source.collection if source is not None and source.ready.is_set() and not source.removed else None

    def holds(self, prefix: str, revision: int) -> bool:
        """Whether the collection has everything up to `revision` now."""
        source = self._sources.get(prefix)
        return source is not None and source.ready.is_set() and not source.removed and self.revision >= revision

    async def fresh(self, prefix: str) -> Collection:
        """The collection, with everything in it that was acknowledged before this call."""
        if prefix not in self._sources:
            raise errors.path_not_found()
        await self.reach(await self.current())
        # Last, because it may have been reset meanwhile; it holds everything that the feed has told.
        return await self.ready(prefix)
