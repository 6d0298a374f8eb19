"""A view of stored objects in another version: complete, in step, and whole again after what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest

from keelson.api import errors
from keelson.api.errors import StatusError
from keelson.component_base.histograms import Histogram
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.caches.watchers import Watcher
from keelson.kube_apiserver.registry.views import Shown, VersionedIndexer, View
from keelson.storage.memory import MemoryStore

PREFIX = "/registry/x/"
ONE, TWO = "x.io/v1", "x.io/v2"


class Doubling:
    """Converts by doubling spec.n on the way to v2. Waits where `going` is not set."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.failing = False
        self.going = asyncio.Event()
        self.going.set()
        self.asked = asyncio.Event()

    async def convert(self, objects: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
        others = [obj for obj in objects if obj["apiVersion"] != wanted]
        if others:
            self.calls.append(len(others))
            self.asked.set()
            await self.going.wait()
        if others and self.failing:
            raise errors.internal("conversion webhook failed")
        return [
            obj if obj["apiVersion"] == wanted else {**obj, "apiVersion": wanted, "spec": {"n": obj["spec"]["n"] * 2}}
            for obj in objects
        ]


class Lab:
    """A view of v2 on a store that holds both versions."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.feed = Feed(self.store)
        self.base = self.feed.add(PREFIX, VersionedIndexer(()), lambda _key, value: dict(orjson.loads(value)))
        self.converter = Doubling()
        self.view = View(self.feed, self.converter, Shown(PREFIX, TWO, ONE, "X", ()))

    async def put(self, name: str, n: int, version: str = ONE) -> int:
        value = orjson.dumps({"apiVersion": version, "kind": "X", "metadata": {"name": name}, "spec": {"n": n}})
        held = (await self.store.get(PREFIX + name)).entry
        if held is None:
            return await self.store.create(PREFIX + name, value)
        return await self.store.update(PREFIX + name, value, expected=held.mod_revision)

    async def shown(self) -> dict[str, int]:
        """What a consistent read of the view shows."""
        await self.feed.fresh(PREFIX)
        items = (await self.view.ready()).select(Selection())[0]
        return {item.name: item.object(TWO, "X")["spec"]["n"] for item in items}


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    made = Lab()
    running = asyncio.create_task(made.feed.run())
    try:
        async with asyncio.timeout(10):
            yield made
    finally:
        made.view.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_read_sees_what_was_written_before_it_and_each_object_is_converted_once() -> None:
    async with lab() as found:
        await found.put("a", 1)
        await found.put("b", 2)
        await found.put("c", 3, TWO)
        assert await found.shown() == {"a": 2, "b": 4, "c": 3}
        await found.put("a", 5)
        await found.store.delete(PREFIX + "b", expected=found.base.items[PREFIX + "b"].revision)
        revision = await found.put("c", 7)
        assert await found.shown() == {"a": 10, "c": 14}
        assert found.view.revision >= revision
        calls = len(found.converter.calls)
        assert await found.shown() == {"a": 10, "c": 14}
        assert len(found.converter.calls) == calls


async def test_a_watch_begins_a_little_before_the_view_was_made() -> None:
    async with lab() as found:
        await found.feed.ready(PREFIX)
        first = await found.put("a", 1)
        await found.put("a", 2)
        await found.put("b", 3)
        await found.shown()
        seen = [
            (change.told.name, change.told.object(TWO, "X")["spec"]["n"])
            for change in found.view.collection.since(first)
        ]
        assert seen == [("a", 4), ("b", 6)]
        sent: list[str] = []

        class Frames:
            sizes = Histogram(())

            def frame(self, type_: str, item: Item) -> bytes:
                sent.append(f"{type_} {item.name} {item.object(TWO, 'X')['spec']['n']}")
                return b""

        watcher = Watcher(Selection(), Frames(), lambda _data: None, lambda: sent.append("end"))
        found.view.collection.join(watcher)
        await found.put("b", 4)
        await found.shown()
        assert sent == ["MODIFIED b 8"]
        found.view.close()
        assert sent[-1] == "end"


async def test_readers_wait_for_no_more_than_what_was_written_before_them() -> None:
    async with lab() as found:
        await found.put("a", 1)
        await found.shown()
        found.converter.going.clear()
        found.converter.asked.clear()
        await found.put("a", 2)
        reading = asyncio.create_task(found.shown())
        await found.converter.asked.wait()
        # Later than the read began: it need not be in it, and must not hold it up.
        await found.feed.reach(await found.put("b", 1))
        found.converter.asked.clear()
        found.converter.going.set()
        assert (await reading)["a"] == 4
        assert await found.shown() == {"a": 4, "b": 2}


async def test_a_failed_conversion_is_told_and_the_next_reader_tries_again() -> None:
    async with lab() as found:
        await found.put("a", 1)
        await found.put("c", 3, TWO)
        found.converter.failing = True
        with pytest.raises(StatusError) as caught:
            await found.shown()
        assert caught.value.code == 500
        base = await found.feed.fresh(PREFIX)
        # One by one, what needs no webhook is still there.
        item = await found.view.item(base, PREFIX + "c")
        assert item is not None
        assert item.object(TWO, "X")["spec"]["n"] == 3
        with pytest.raises(StatusError):
            await found.view.item(base, PREFIX + "a")
        found.converter.failing = False
        assert await found.shown() == {"a": 2, "c": 3}


async def test_a_cache_that_begins_anew_takes_the_view_with_it() -> None:
    async with lab() as found:
        await found.put("a", 1)
        await found.shown()
        # As after a compaction that the feed has slept through.
        found.base.replace(list(found.base.items.values()), found.feed.revision)
        await found.put("a", 2)
        assert await found.shown() == {"a": 4}
        found.view.close()
        with pytest.raises(StatusError) as caught:
            await found.view.ready()
        assert caught.value.code == 503
