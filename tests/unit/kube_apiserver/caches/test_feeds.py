"""The feed where store and watch are not in step: what was listed, told late, forgotten or taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from keelson.component_base.histograms import Histogram
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Indexer, Item
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.caches.watchers import Watcher
from keelson.storage import errors
from keelson.storage.memory import MemoryStore
from keelson.storage.stores import Batch, Page, Watch

PREFIX = "/registry/x/"


class _Late:
    """A watch that tells nothing before the store lets it."""

    def __init__(self, store: Late, inner: Watch) -> None:
        self._store = store
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[Batch]:
        await self._store.telling.wait()
        async for batch in self._inner:
            await self._store.telling.wait()
            if self._store.forgets:
                self._store.forgets = False
                raise errors.CompactedError
            yield batch

    async def request_progress(self) -> None:
        await self._inner.request_progress()

    async def close(self) -> None:
        await self._inner.close()


class Late(MemoryStore):
    """A store whose watches and lists are as slow as a test wants them, and which can go back in time."""

    def __init__(self) -> None:
        super().__init__()
        self.telling = asyncio.Event()
        self.listing = asyncio.Event()
        self.listed = asyncio.Event()
        self.watched = asyncio.Event()
        self.forgets = False
        self.telling.set()
        self.listing.set()

    async def watch(self, prefix: str, *, after: int) -> Any:
        self.watched.set()
        return _Late(self, await super().watch(prefix, after=after))

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        page = await super().list(prefix, limit=limit, start=start, revision=revision)
        self.listed.set()
        await self.listing.wait()
        return page

    def restore(self, revision: int) -> None:
        """Be as at `revision`, as after the restoration of a snapshot."""
        self._live = dict(self._at(revision))
        self._history = [event for event in self._history if event.entry.mod_revision <= revision]
        self._revision = revision

    async def put(self, name: str) -> int:
        """Create an object."""
        return await self.create(PREFIX + name, orjson.dumps({"metadata": {"name": name}}))


class _Names:
    """A wire form that shows what happened to which object."""

    def __init__(self) -> None:
        self.sizes = Histogram(())

    def frame(self, type_: str, item: Item) -> bytes:
        return f"{type_} {item.key.removeprefix(PREFIX)};".encode()


@asynccontextmanager
async def following(store: Late, *, telling_seconds: float = 30) -> AsyncIterator[Feed]:
    feed = Feed(store, telling_seconds=telling_seconds)
    feed.add(PREFIX, Indexer(()), lambda _key, value: orjson.loads(value))
    task = asyncio.create_task(feed.run())
    try:
        async with asyncio.timeout(10):
            yield feed
    finally:
        task.cancel()


def names(items: dict[str, Any]) -> list[str]:
    return sorted(key.removeprefix(PREFIX) for key in items)


async def test_what_comes_with_the_event_that_was_waited_for_is_kept() -> None:
    """The list is ahead of the feed; one batch tells what was listed, and more."""
    store = Late()
    await store.put("a")
    async with following(store) as feed:
        await feed.connected.wait()
        store.telling.clear()
        store.listed.clear()
        await store.put("b")
        loading = asyncio.create_task(feed.ready(PREFIX))
        await store.listed.wait()
        await asyncio.sleep(0)
        await store.put("c")
        store.telling.set()
        await loading
        assert names((await feed.fresh(PREFIX)).items) == ["a", "b", "c"]


async def test_history_that_is_lost_while_a_collection_is_listed() -> None:
    store = Late()
    await store.put("a")
    async with following(store) as feed:
        await feed.connected.wait()
        store.telling.clear()
        store.listing.clear()
        loading = asyncio.create_task(feed.ready(PREFIX))
        await store.listed.wait()
        await store.put("b")
        store.forgets = True
        store.watched.clear()
        store.telling.set()
        await store.put("c")
        await store.watched.wait()
        store.listing.set()
        await loading
        assert names((await feed.fresh(PREFIX)).items) == ["a", "b", "c"]


async def test_a_store_that_went_back_is_noticed() -> None:
    store = Late()
    kept = await store.put("a")
    await store.put("b")
    async with following(store) as feed:
        collection = await feed.fresh(PREFIX)
        assert names(collection.items) == ["a", "b"]
        store.restore(kept)
        assert names((await feed.fresh(PREFIX)).items) == ["a"]
        assert collection.gaps == 1
        await store.put("c")
        assert names((await feed.fresh(PREFIX)).items) == ["a", "c"]
        assert collection.gaps == 1


async def test_a_write_is_answered_after_its_event_was_told() -> None:
    store, told = Late(), list[bytes]()
    async with following(store) as feed:
        collection = await feed.ready(PREFIX)
        collection.join(Watcher(Selection(), _Names(), told.append, lambda: None))
        store.telling.clear()
        revisions = [await store.put("a"), await store.put("b")]
        # The later one asks first, as where answers of the store come in another order.
        answers = [asyncio.create_task(feed.told(PREFIX, each)) for each in reversed(revisions)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert told == []
        assert not any(answer.done() for answer in answers)
        store.telling.set()
        await asyncio.gather(*answers)
        assert b"".join(told) == b"ADDED a;ADDED b;"


async def test_a_write_is_answered_at_once_where_nobody_watches() -> None:
    store = Late()
    async with following(store) as feed:
        await feed.ready(PREFIX)
        store.telling.clear()
        revision = await store.put("a")
        await feed.told(PREFIX, revision)
        assert feed.revision < revision


async def test_an_event_that_does_not_come_keeps_no_answer() -> None:
    store, told = Late(), list[bytes]()
    async with following(store, telling_seconds=0.01) as feed:
        collection = await feed.ready(PREFIX)
        collection.join(Watcher(Selection(), _Names(), told.append, lambda: None))
        store.telling.clear()
        revisions = [await store.put(name) for name in "abc"]
        await asyncio.gather(*(feed.told(PREFIX, revision) for revision in revisions))
        assert told == []
        store.telling.set()
        assert names((await feed.fresh(PREFIX)).items) == ["a", "b", "c"]


def test_a_collection_that_goes_leaves_nothing_behind() -> None:
    feed = Feed(MemoryStore())
    prefixes = [f"/registry/group-{number}.example.com/things/" for number in range(3)]
    for prefix in prefixes:
        feed.add(prefix, Indexer(()), lambda _key, value: orjson.loads(value))
    for prefix in prefixes:
        feed.remove(prefix)
    assert (feed._sources, feed._by_segment) == ({}, {})
