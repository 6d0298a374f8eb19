"""OpenAPI of aggregated servers, as part of this server's own.

Of v3 the index is known from the last look at each server, and its documents are fetched when they are asked for; of
v2 a server's part is fetched when somebody asks for the whole, and kept. Nothing is fetched twice that did not change
(ETag). A server that can't be asked is told of as it was last.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from .discoveries import Discoveries
from .remotes import Remote, RemoteError
from .routes import Routes

log = logging.getLogger(__name__)

_FETCH_SECONDS = 5.0
# A large API's document takes its maker some seconds when it is first asked for.
_SWAGGER_SECONDS = 10.0
_FRESH_SECONDS = 60.0
_LEVEL = 5


def _digest(url: str) -> str:
    """What an address in an index says of its document's content; where it says nothing, that of the address."""
    made = hashlib.sha256(url.encode()).hexdigest().upper()
    return parse_qs(urlsplit(url).query).get("hash", [made])[0]


class _Held:
    """What is known of one remote group and version."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.index_etag = ""
        # The address in the index of v3, "" where the server has none.
        self.url = ""
        self.document: tuple[bytes, str] | None = None
        self.document_etag = ""
        self.swagger: dict[str, Any] = {}
        self.swagger_etag = ""
        self.swagger_moment = float("-inf")


class OpenApis:
    """The parts that other servers have in OpenAPI. `generation` is raised with every change of them."""

    def __init__(self, routes: Routes, discoveries: Discoveries) -> None:
        self._routes = routes
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.generation = 0
        routes.observers.append(self._forget)
        discoveries.observers.append(self._look)

    def stop(self) -> None:
        """End what is being fetched."""
        for task in self._tasks:
            task.cancel()

    def _forget(self, names: set[str]) -> None:
        for name in names:
            held = self._held.get(name)
            if held is not None and self._routes.remote(name) is not held.remote:
                del self._held[name]
                self.generation += 1

    def _look(self, remote: Remote) -> None:
        task = asyncio.get_running_loop().create_task(self._fetch_index(remote))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch_index(self, remote: Remote) -> None:
        held = self._held.get(remote.name)
        if held is None or held.remote is not remote:
            held = self._held[remote.name] = _Held(remote)
        path = remote.path.strip("/")
        try:
            answer = await remote.fetch("/openapi/v3", etag=held.index_etag, seconds=_FETCH_SECONDS)
            if answer.status == 304:
                return
            paths = orjson.loads(answer.body)["paths"] if answer.status == 200 else {}
            told = paths[path]["serverRelativeURL"] if path in paths else ""
            digest = _digest(told)
        except (RemoteError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.info("OpenAPI of %s: %s", remote.name, error)
            return
        url = f"/openapi/v3/{path}?hash={digest}" if told else ""
        held.index_etag = answer.etag
        if url != held.url:
            held.url = url
            self.generation += 1

    def entries(self) -> dict[str, dict[str, str]]:
        """The index of v3: by path, as "apis/example.com/v1"."""
        return {
            held.remote.path.strip("/"): {"serverRelativeURL": held.url} for held in self._held.values() if held.url
        }

    def has(self, path: str) -> bool:
        """Whether another server has the document of v3 at this path."""
        return any(held.url and held.remote.path.strip("/") == path for held in self._held.values())

    async def document(self, path: str) -> tuple[bytes, str] | None:
        """(a document of v3, compressed, and its ETag); None where it can't be had."""
        held = next((each for each in self._held.values() if each.remote.path.strip("/") == path), None)
        if held is None:
            return None
        try:
            answer = await held.remote.fetch(f"/openapi/v3/{path}", etag=held.document_etag, seconds=_SWAGGER_SECONDS)
        except RemoteError as error:
            log.info("OpenAPI of %s: %s", held.remote.name, error)
            return held.document
        if answer.status == 200:
            packed = await asyncio.to_thread(gzip.compress, answer.body, _LEVEL, mtime=0)
            held.document = (packed, f'"{hashlib.sha512(answer.body).hexdigest().upper()}"')
            held.document_etag = answer.etag
        return held.document

    async def swaggers(self) -> list[dict[str, Any]]:
        """What `openapi.merging.selected` took of every server's Swagger document."""
        await asyncio.gather(*(self._fetch_swagger(held) for held in self._held.values()))
        return [held.swagger for held in self._held.values() if held.swagger]

    async def _fetch_swagger(self, held: _Held) -> None:
        # Only those who ask for Swagger documents pay for merging them.
        from keelson.api.openapi import merging

        if time.monotonic() < held.swagger_moment + _FRESH_SECONDS or not held.remote.available:
            return
        held.swagger_moment = time.monotonic()
        try:
            answer = await held.remote.fetch("/openapi/v2", etag=held.swagger_etag, seconds=_SWAGGER_SECONDS)
            if answer.status != 200:
                return
            document = await asyncio.to_thread(orjson.loads, answer.body)
            part = merging.selected(document, held.remote.path + "/")
        except (RemoteError, ValueError, AttributeError, TypeError) as error:
            log.info("OpenAPI of %s: %s", held.remote.name, error)
            return
        held.swagger_etag = answer.etag
        if part != held.swagger:
            held.swagger = part
            self.generation += 1
