"""Watches: from a revision or from the present state, until the client leaves, falls behind, or its time is up.

`sendInitialEvents` (KEP-3157) first tells the present state as ADDED events and marks its end with a bookmark.
Bookmarks go to those who allow them about once a minute (KEP-956).
"""

from __future__ import annotations

import asyncio
import random
from time import perf_counter

from keelson.api import errors
from keelson.component_base.histograms import Histogram
from keelson.kube_apiserver.caches.collections import Collection, ExpiredError
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.watchers import ADDED, ERROR, Watcher, transition
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.negotiation import Form
from keelson.kube_apiserver.serving.streams import Stream

from .catalogues import Served
from .listing import Lists, options_of, revision_of
from .numbers import integer
from .objects import Objects
from .parameters import flag
from .representations import bookmark, event, frames, stream_type

# Bytes that a client may be behind before its watch is cut; it lists again when it comes back.
_MOST_PENDING = 16 << 20
_BOOKMARK_SECONDS = 60.0
_LEAST_TIMEOUT = 1800
_LIST_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60)
_SLICE_EVENTS = 200
_GAP = "the history of changes was interrupted: list again"


class _Sink:
    """What a watcher's frames go into: a backlog while the initial events are written, then the client."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._backlog: list[bytes] | None = []
        self._size = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, data: bytes) -> None:
        if self._backlog is not None:
            self._backlog.append(data)
            self._size += len(data)
            if self._size > _MOST_PENDING:
                self.end()
            return
        self._stream.send(data)
        if self._stream.pending > _MOST_PENDING:
            self._stream.abort()
            self.end()

    def go(self) -> None:
        """The initial events are written: send what came meanwhile, and everything from now on."""
        backlog, self._backlog = self._backlog or [], None
        if backlog:
            self.send(b"".join(backlog))

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def end_within(self, seconds: float) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds * random.random(), self.end)  # noqa: S311 - no secret
        else:
            self.end()


class Watches:
    """The verb watch."""

    def __init__(self, objects: Objects, lists: Lists, feed: Feed, *, least_timeout: int = _LEAST_TIMEOUT) -> None:
        self._objects = objects
        self._lists = lists
        self._feed = feed
        self._least_timeout = least_timeout
        self._sinks: set[_Sink] = set()
        # Once the server stops: how many seconds watches have to end.
        self._grace: float | None = None

    def stop(self, grace: float) -> None:
        """End every watch in order, so that its client turns to another server: within `grace` seconds, not at once."""
        self._grace = grace
        for sink in self._sinks:
            sink.end_within(grace)

    async def watch(self, request: Request, served: Served, namespace: str, name: str, form: Form) -> None:
        """Serve the watch to its end. Raises StatusError before anything was sent."""
        began = perf_counter()
        options = options_of(request, served, namespace, name, watch=True)
        initial = "sendInitialEvents" in request.query
        wants_initial = flag(request, "sendInitialEvents")
        bookmarks = flag(request, "allowWatchBookmarks")
        seconds = self._seconds(request)
        version = revision_of(options.resource_version)
        synthetic = wants_initial or (not initial and version == 0)
        if synthetic and (not options.resource_version or wants_initial):
            collection = await self._objects.fresh(served)
            if version:
                collection = await self._lists.reached(served, version)
        elif version:
            collection = await self._lists.reached(served, version)
        else:
            collection = await self._objects.cached(served)
        made = frames(served, form, request.parameter("includeObject"))
        stream = request.stream(200, (("Content-Type", stream_type(form)), ("Cache-Control", "no-cache, private")))
        sink = _Sink(stream)
        watcher = Watcher(options.selection, made, sink.send, sink.end)
        try:
            # From here to `join` nothing may wait: the state that is told and the changes after it must be seamless.
            revision = self._objects.revision(served)
            if synthetic:
                first = [(ADDED, item) for item in collection.select(options.selection)[0]]
            else:
                first = []
                indexer = collection.indexer
                after = version or revision
                for change in collection.since(after):
                    type_, item = transition(options.selection, change, indexer)
                    if type_:
                        first.append((type_, item))
        except ExpiredError as error:
            gone = errors.expired(f"too old resource version: {version} ({error.oldest})")
            stream.send(event(ERROR, gone.status(), form.media_type))
            stream.finish()
            return
        gaps = collection.gaps
        collection.join(watcher)
        self._sinks.add(sink)
        if self._grace is not None:
            sink.end_within(self._grace)
        try:
            for start in range(0, len(first), _SLICE_EVENTS):
                told = [made.frame(type_, item) for type_, item in first[start : start + _SLICE_EVENTS]]
                for each in told:
                    made.sizes.note(len(each))
                stream.send(b"".join(told))
                await stream.drain()
            if wants_initial and bookmarks:
                stream.send(bookmark(served, form, revision, initial_end=True))
                scope = "resource" if name else "namespace" if namespace else "cluster"
                served.watch_lists.setdefault(scope, Histogram(_LIST_SECONDS)).note(perf_counter() - began)
            del first
            sink.go()
            if request.settled is not None:
                request.settled()
            await self._follow(served, form, collection, gaps, sink, stream, seconds, bookmarks=bookmarks)
        finally:
            self._sinks.discard(sink)
            collection.leave(watcher)
        if not stream.closed:
            stream.finish()

    def _seconds(self, request: Request) -> float:
        text = request.parameter("timeoutSeconds")
        if text and (seconds := integer(text)) > 0:
            return min(float(seconds), 1e7)
        # Spread, so that clients that came together do not come back together.
        return self._least_timeout * (1.0 + random.random())  # noqa: S311 - no secret hangs on it

    async def _follow(
        self,
        served: Served,
        form: Form,
        collection: Collection,
        gaps: int,
        sink: _Sink,
        stream: Stream,
        seconds: float,
        *,
        bookmarks: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            left = deadline - loop.time()
            pause = min(left, _BOOKMARK_SECONDS) if bookmarks else left
            done, _ = await asyncio.wait((sink.ended,), timeout=max(pause, 0))
            if collection.gaps != gaps:
                # Revisions may mean something else from now on: to go on from one would hide what was missed.
                stream.send(event(ERROR, errors.expired(_GAP).status(), form.media_type))
                return
            if bookmarks and not stream.closed and self._feed.connected.is_set():
                stream.send(bookmark(served, form, self._objects.revision(served)))
            if done or loop.time() >= deadline:
                return
