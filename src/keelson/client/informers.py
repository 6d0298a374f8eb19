"""Informers: a local copy of a collection, kept by list and watch, with handlers told of each change.

Handlers run in the event loop between two events and must only note keys (level-triggered: reconcile from `store`,
never from what an event said). Several users share one informer through a `Factory`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource, lookup

from . import watches
from .backoffs import Backoff
from .rest import Client

log = logging.getLogger(__name__)

# (old, new): (None, new) is an addition, (old, None) a removal.
Handler = Callable[[Object | None, Object | None], None]
Indexer = Callable[[Object], Iterable[str]]


class Store:
    """The objects by key ("namespace/name"). What it returns is shared: copy before you change it."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, Indexer] = {}
        # Invariant: index[name][value] holds exactly the keys whose object yields that value.
        self._indices: dict[str, dict[str, set[str]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, key: str) -> Object | None:
        """The object of this key, None where there is none."""
        return self._objects.get(key)

    def keys(self) -> list[str]:
        """All keys."""
        return list(self._objects)

    def add_index(self, name: str, indexer: Indexer) -> None:
        """Index all objects, now and later, by the values that `indexer` yields of each."""
        if name in self._indexers:
            return
        self._indexers[name] = indexer
        self._indices[name] = {}
        for key, obj in self._objects.items():
            self._link(name, key, obj)

    def by_index(self, name: str, value: str) -> list[Object]:
        """The objects that an index files under this value."""
        return [self._objects[key] for key in sorted(self._indices[name].get(value, ()))]

    def _link(self, name: str, key: str, obj: Object) -> None:
        for value in self._indexers[name](obj):
            self._indices[name].setdefault(value, set()).add(key)

    def put(self, obj: Object) -> Object | None:
        """Keep the object; the one it replaces is returned."""
        key = meta.key(obj)
        old = self.remove(key)
        self._objects[key] = obj
        for name in self._indexers:
            self._link(name, key, obj)
        return old

    def remove(self, key: str) -> Object | None:
        """Forget the object; it is returned."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, indexer in self._indexers.items():
                index = self._indices[name]
                for value in indexer(old):
                    if (keys := index.get(value)) is not None:
                        keys.discard(key)
                        if not keys:
                            del index[value]
        return old


class Informer:
    """Keeps `store` equal to the collection. `run` it in a task; await `synced` before you trust the store."""

    def __init__(
        self,
        client: Client,
        resource: str | Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        transform: Callable[[Object], Object] | None = None,
        indexers: Mapping[str, Indexer] | None = None,
    ) -> None:
        self._client = client
        self.resource = lookup(resource) if isinstance(resource, str) else resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._transform = transform
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._version = ""
        self.store = Store()
        for name, indexer in (indexers or {}).items():
            self.store.add_index(name, indexer)

    def add_handler(self, handler: Handler) -> None:
        """Tell `handler` of every change from now on, beginning with what the store holds already."""
        self._handlers.append(handler)
        for obj in self.store:
            handler(None, obj)

    async def synced(self) -> None:
        """Wait until the first list has been taken in."""
        await self._synced.wait()

    async def run(self) -> None:
        """List, then watch, then resume, until cancelled. Errors of the server are waited out with backoff."""
        backoff = Backoff(initial=0.2, maximum=30.0)
        while True:
            try:
                if not self._version:
                    await self._relist()
                async for event in watches.watch(
                    self._client,
                    self.resource,
                    resource_version=self._version,
                    namespace=self._namespace,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                    metadata_only=self._metadata_only,
                ):
                    self._take(event)
                    backoff.reset()
            except errors.StatusError as error:
                if error.code == 410:
                    log.info("%s: %s; listing again", self.resource.qualified, error.message)
                    self._version = ""
                else:
                    log.warning("%s: %s", self.resource.qualified, error.message)
            except TimeoutError:
                log.warning("%s: the watch went silent; resuming", self.resource.qualified)
            await asyncio.sleep(backoff.next())

    async def _relist(self) -> None:
        # Revision 0 lets the server answer from its cache at whatever revision it has; after a restart of the watch
        # the list must not be older than what was seen, which an unset revision guarantees.
        version = "" if self._synced.is_set() else "0"
        answer = await self._client.list(
            self.resource,
            resource_version=version,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        )
        fresh: dict[str, Object] = {}
        for item in answer.get("items") or []:
            item.setdefault("apiVersion", self.resource.api_version)
            item.setdefault("kind", self.resource.kind)
            fresh[meta.key(item)] = item
        for key in self.store.keys():  # noqa: SIM118 - a snapshot: the loop removes from it
            if key not in fresh:
                self._tell(self.store.remove(key), None)
        for item in fresh.values():
            self._put(item)
        self._version = answer["metadata"]["resourceVersion"]
        self._synced.set()

    def _take(self, event: watches.WatchEvent) -> None:
        obj = event.object
        self._version = obj["metadata"]["resourceVersion"]
        if event.type == "BOOKMARK":
            return
        if event.type == "DELETED":
            self._tell(self.store.remove(meta.key(obj)) or obj, None)
        else:
            self._put(obj)

    def _put(self, obj: Object) -> None:
        if self._transform is not None:
            obj = self._transform(obj)
        old = self.store.put(obj)
        if old is None or meta.resource_version(old) != meta.resource_version(obj):
            if old is not None and meta.uid(old) != meta.uid(obj):
                # Deleted and created anew while we did not watch: two changes, not one.
                self._tell(old, None)
                old = None
            self._tell(old, obj)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            handler(old, new)


class Factory:
    """One informer a collection, shared by all that ask for it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[str, ...], Informer] = {}

    def informer(self, resource: str | Resource, **where: Any) -> Informer:
        """The informer of this collection; ask for all before `run`."""
        found = lookup(resource) if isinstance(resource, str) else resource
        key = (found.group, found.version, found.plural, *(f"{k}={v}" for k, v in sorted(where.items())))
        if key not in self._informers:
            self._informers[key] = Informer(self.client, found, **where)
        return self._informers[key]

    async def run(self) -> None:
        """Run all informers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Wait until each has taken in its first list."""
        for informer in list(self._informers.values()):
            await informer.synced()
