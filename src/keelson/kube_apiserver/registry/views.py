"""A CRD's objects in one version that only a webhook can make: a cache of its own beside the one of what is stored.

A view follows the stored objects' cache. What changes is converted in one call for all that changed meanwhile, so that
lists and watches in any version are served from memory as others are, some moments later. Nobody sees the moments: a
read waits until the view has taken in all that the stored objects' cache has, and `revision` tells how far that is.
Where a conversion fails, the view ends its watches and is made anew for whoever asks next; single objects are then
still there for the asking, since each is converted on its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from keelson.api.errors import StatusError
from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Change, Collection
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Indexer, Item

log = logging.getLogger(__name__)

# Changes before the view was made that are converted too, so that watches can begin a little in the past.
_MOST_PAST = 200


class Converter(Protocol):
    """Brings objects of one CRD to an API version; StatusError 500 where that fails."""

    async def convert(self, objects: Sequence[Object], wanted: str) -> list[Object]:
        """The objects in their order; those in `wanted` already are passed through."""
        ...


class VersionedItem(Item):
    """An item that knows in which version its object is stored."""

    __slots__ = ("api_version",)

    def __init__(self, item: Item, api_version: str) -> None:
        super().__init__(item.key, item.namespace, item.name, item.revision, item.labels, item.fields, item.body)
        self.api_version = api_version

    def object(self, api_version: str, kind: str) -> Object:
        """The object in its own version, whatever `api_version` says."""
        return super().object(self.api_version, kind)

    def at(self, revision: int) -> Item:
        """As `Item.at`."""
        return VersionedItem(super().at(revision), self.api_version)


class VersionedIndexer(Indexer):
    """Makes items of objects that are stored in more than one version; it indexes no fields."""

    def item(self, key: str, obj: Object, revision: int) -> Item:
        """As `Indexer.item`."""
        api_version = obj.get("apiVersion") or ""
        return VersionedItem(super().item(key, obj, revision), api_version)


class Shown(NamedTuple):
    """What a view shows: a version of the objects below a storage prefix, indexed by its selectable fields."""

    prefix: str
    api_version: str
    stored_api_version: str
    kind: str
    fields: tuple[str, ...]


class View:
    """One version's objects, for as long as its CRD stays as it is."""

    def __init__(self, feed: Feed, converter: Converter, shown: Shown) -> None:
        self._feed = feed
        self._converter = converter
        self._prefix = shown.prefix
        self._api_version = shown.api_version
        self._stored_api_version = shown.stored_api_version
        self._kind = shown.kind
        self.indexer = Indexer(shown.fields)
        self.collection = Collection(self._prefix, self.indexer)
        self._base: Collection | None = None
        self._worker: asyncio.Task[None] | None = None
        self._loaded = False
        self._pending: list[list[Change]] = []
        self._changed = asyncio.Event()
        # Batches of changes that were observed and that were taken in, since the view was made.
        self._received = self._taken = 0
        # Who waits for how many to be taken in, and is told whether they are, or the view begins anew.
        self._waiting: list[tuple[int, asyncio.Future[bool]]] = []
        self._closed = False
        # Everything up to here is in the collection.
        self._done = 0
        self._idle = False

    @property
    def revision(self) -> int:
        """The collection holds everything up to it."""
        return self._feed.revision if self._idle and not self._pending else self._done

    # --- reading

    async def ready(self) -> Collection:
        """The collection with everything that the stored objects' cache has now.

        Raises StatusError 404 where the CRD is gone, 500 where the webhook fails, 503 where the CRD has changed.
        """
        while True:
            await self._feed.ready(self._prefix)
            if self._closed:
                raise _changed()
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
            elif self._idle and not self._pending:
                return self.collection
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._received, turn))
            if await turn:
                return self.collection

    async def item(self, base: Collection, key: str) -> Item | None:
        """One object, converted for itself where the view does not have it. Raises StatusError 500."""
        stored = base.items.get(key)
        if stored is None:
            return None
        held = self.collection.items.get(key) if self._loaded else None
        if held is not None and held.revision == stored.revision:
            return held
        return (await self._converted([stored]))[0]

    async def decoded(self, obj: Object) -> Object:
        """A stored object, in this version. Raises StatusError 500."""
        return (await self._converter.convert([obj], self._api_version))[0]

    async def all_decoded(self, objects: list[Object]) -> list[Object]:
        """Stored objects, in this version. Raises StatusError 500."""
        return await self._converter.convert(objects, self._api_version)

    async def to_stored(self, obj: Object) -> Object:
        """An object of this version as it is to be stored. Raises StatusError 500."""
        return (await self._converter.convert([obj], self._stored_api_version))[0]

    async def converted(self, obj: Object, api_version: str) -> Object:
        """An object of any version in another. Raises StatusError 500."""
        return (await self._converter.convert([obj], api_version))[0]

    async def _converted(self, items: list[Item]) -> list[Item]:
        """The items in this version; those that have it and need no index are taken as they are."""
        found: list[Item] = list(items)
        wanted = []
        for index, item in enumerate(items):
            assert isinstance(item, VersionedItem)
            if item.api_version != self._api_version or self.indexer.fields:
                wanted.append(index)
        objects = [items[index].object(self._api_version, self._kind) for index in wanted]
        for index, obj in zip(wanted, await self._converter.convert(objects, self._api_version), strict=True):
            found[index] = self.indexer.item(items[index].key, obj, items[index].revision)
        return found

    # --- following

    def close(self) -> None:
        """End the view for good: its CRD is gone or another."""
        self._closed = True
        self._end(_changed())

    def _end(self, error: Exception | None) -> None:
        worker, self._worker = self._worker, None
        if worker is not None and worker is not asyncio.current_task():
            worker.cancel()
        if self._base is not None:
            self._base.observers.remove(self._observe)
            self._base = None
        self._loaded = self._idle = False
        self._pending.clear()
        self.collection.expire()
        waiting, self._waiting = self._waiting, []
        for _, turn in waiting:
            if turn.done():
                continue
            if error is None:
                turn.set_result(False)
            else:
                turn.set_exception(error)

    def _tell(self) -> None:
        """Let those go on who wait for no more than what was taken in: others may be writing all the time."""
        waiting = self._waiting
        self._waiting = [entry for entry in waiting if entry[0] > self._taken]
        for target, turn in waiting:
            if target <= self._taken and not turn.done():
                turn.set_result(True)

    def _observe(self, changes: list[Change] | None) -> None:
        if changes is None:
            # The stored objects' cache began anew; so does the view, for whoever asks next. Not at once: whoever calls
            # goes through the list of observers, which that changes.
            self._idle = False
            asyncio.get_running_loop().call_soon(self._end, None)
            return
        self._pending.append(changes)
        self._received += 1
        self._changed.set()

    async def _work(self) -> None:
        try:
            await self._load()
            while True:
                self._tell()
                if not self._pending:
                    self._idle = True
                    self._changed.clear()
                    await self._changed.wait()
                self._idle = False
                await self._take()
        except StatusError as error:
            log.warning("%s in %s: %s", self._prefix, self._api_version, error)
            self._end(error)
        except Exception as error:
            log.exception("%s in %s", self._prefix, self._api_version)
            self._end(error)

    async def _load(self) -> None:
        self._base = base = await self._feed.ready(self._prefix)
        # From here to the observer nothing may wait: the state that is converted and the changes after it are seamless.
        reached, received = self._feed.revision, self._received
        past, items, changes = base.recent(_MOST_PAST)
        base.observers.append(self._observe)
        made = await self._converted([*items, *(change.current for change in changes if change.current is not None)])
        self.collection.replace(made[: len(items)], past)
        self._apply(changes, made[len(items) :])
        self._done, self._taken = reached, received
        self._loaded = True

    async def _take(self) -> None:
        """Convert and tell everything that waits."""
        changes = [change for batch in self._pending for change in batch]
        reached, received = self._feed.revision, self._received
        self._pending.clear()
        made = await self._converted([change.current for change in changes if change.current is not None])
        told = self._apply(changes, made)
        self._done, self._taken = reached, received
        self.collection.tell(told)

    def _apply(self, changes: list[Change], made: list[Item]) -> list[Change]:
        following = iter(made)
        told = []
        for change in changes:
            item = next(following) if change.current is not None else None
            applied = self.collection.apply(change.told.key, change.revision, item, time.monotonic())
            if applied is not None:
                told.append(applied)
        return told


def _changed() -> StatusError:
    message = "the resource definition has changed, please try again"
    return StatusError(503, "ServiceUnavailable", message, {"retryAfterSeconds": 1})
