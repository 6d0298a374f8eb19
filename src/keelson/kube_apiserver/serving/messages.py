"""Requests and answers, apart from the connection that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from cryptography import x509

if TYPE_CHECKING:
    from keelson.kube_apiserver.audit.records import Record
    from keelson.kube_apiserver.registry.contexts import Context
    from keelson.kube_apiserver.tracing.spans import Span

    from .connections import Connection
    from .streams import Stream

JSON = "application/json"
# What a request was done with, and when, by time.perf_counter.
Step = tuple[str, float]
_NONE: Mapping[str, list[str]] = MappingProxyType({})
# Every answer that doesn't say otherwise is for its client alone, as upstream's are.
PRIVATE = (("Cache-Control", "no-cache, private"),)


class Body:
    """A request's body as it comes, for handlers that pass it on: iterate over it once.

    `resume` is called when more may be received, `begin` when somebody wants the body at all; `waiting` is what was
    received and not taken yet, in bytes.
    """

    def __init__(self, resume: Callable[[], None], begin: Callable[[], None]) -> None:
        self._resume = resume
        self._begin = begin
        self._chunks: list[bytes] = []
        self._changed: asyncio.Event = asyncio.Event()
        self._lost = False
        self.finished = False
        self.waiting = 0

    def feed(self, data: bytes) -> None:
        """For the connection: some of the body came."""
        self._chunks.append(data)
        self.waiting += len(data)
        self._changed.set()

    def finish(self) -> None:
        """For the connection: that was all."""
        self.finished = True
        self._changed.set()

    def lose(self) -> None:
        """For the connection: the client left before the end."""
        self._lost = not self.finished
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What came since the last turn. Raises ConnectionResetError where the client left before the end."""
        self._begin()
        while True:
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self.waiting = 0
                self._resume()
                yield data
            elif self._lost:
                raise ConnectionResetError("the client left")
            elif self.finished:
                return
            else:
                self._changed.clear()
                await self._changed.wait()


class TooLargeError(Exception):
    """A body beyond its limit."""


class Request:
    """One request with its whole body, or with `incoming`: a body that is passed on, or taken later, while it comes.

    `path` is decoded, `target` is as it came.
    """

    def __init__(
        self, method: str, target: str, headers: dict[str, str], body: bytes, connection: Connection | None
    ) -> None:
        self.method = method
        self.target = target
        raw, _, self.query_string = target.partition("?")
        self.path = unquote(raw) if "%" in raw else raw
        self.headers = headers
        # The lines of fields that came more than once; in `headers` they are one list.
        self.repeated = _NONE
        self.body = body
        self.incoming: Body | None = None
        # Whether the body is for the handler to pass on, and never taken as a whole.
        self.is_passed_on = False
        # Whether whoever sent it was found to be allowed to.
        self.is_permitted = False
        self.connection = connection
        # Warnings for the client (RFC 7234, "Warning: 299"), filled by whoever has one to give.
        self.warnings: list[str] = []
        # Header lines of the answer that do not hang on what it says, each with its line's end.
        self.head = b""
        # Where its handler may keep, by target, what also holds for later requests of the same headers on the
        # connection; None where this request is not one to be repeated (see Connection's `quick`).
        self.routes: dict[bytes, Any] | None = None
        # Called by a handler that goes on for long, once the work of its beginning is done.
        self.settled: Callable[[], None] | None = None
        # Whether its answer goes on for as long as the client likes: a watch, a stream.
        self.long_running = False
        # What the audit log is told of it; None where nothing is.
        self.audit: Record | None = None
        # What its handler made of it; None before that, and of what is no resource.
        self.context: Context | None = None
        # Seconds that it waited for its turn.
        self.waited = 0.0
        # When its answer was begun, and what was done since, for whoever asks why it took long.
        self.began = 0.0
        self.steps: list[Step] = []
        # Its part of a trace; None where there is no tracing.
        self.span: Span | None = None

    def done(self, what: str) -> None:
        """Note that something is done, and when."""
        self.steps.append((what, perf_counter()))

    def lines(self, name: str) -> list[str]:
        """Each line of a field (its name in lower case) whose values may have commas in them: names of people, groups.

        Such values are UTF-8, whatever RFC 9110 says of fields: so upstream's clients and proxies write them.
        """
        found = self.repeated.get(name)
        if found is None:
            found = [self.headers[name]] if name in self.headers else []
        return [line.encode("latin-1").decode("utf-8", "replace") for line in found]

    async def take(self, most: int) -> None:
        """Have the whole body, also where it did not come with the headers.

        Raises TooLargeError above `most` bytes, ConnectionResetError where the client leaves before its end.
        """
        if self.incoming is None:
            return
        stated = self.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > most:
            raise TooLargeError
        parts: list[bytes] = []
        async for part in self.incoming:
            parts.append(part)
            most -= len(part)
            if most < 0:
                raise TooLargeError
        self.body, self.incoming = b"".join(parts), None

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Every value of every parameter."""
        return parse_qs(self.query_string, keep_blank_values=True) if self.query_string else {}

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        found = self.query.get(name)
        return found[0] if found else default

    @property
    def remote(self) -> str:
        """The address of the other end, "" where there is none."""
        return self.connection.remote if self.connection is not None else ""

    @property
    def certificate(self) -> x509.Certificate | None:
        """The client's certificate; the handshake has verified it against one of the server's client CAs."""
        return self.connection.certificate if self.connection is not None else None

    def stream(self, status: int, headers: Sequence[tuple[str, str]], *, chunked: bool = True) -> Stream:
        """Begin an answer that comes in pieces; without `chunked` the headers must tell where its body ends."""
        if self.connection is None:
            raise RuntimeError("this request has no connection to stream to")
        if self.audit is not None:
            self.audit.started(status)
        if self.span is not None:
            self.span.attributes["http.response.status_code"] = status
        return self.connection.stream(status, headers, self.head, chunked=chunked, mute=self.method == "HEAD")

    def take_over(self, protocol: Callable[[asyncio.Transport], asyncio.Protocol]) -> bytes:
        """Give the connection to another protocol for good; what was read beyond the request is returned."""
        if self.connection is None:
            raise RuntimeError("this request has no connection to take over")
        if self.audit is not None:
            self.audit.started(101)
        if self.span is not None:
            self.span.attributes["http.response.status_code"] = 101
        return self.connection.take_over(protocol)


class Response:
    """A whole answer. The body may be in parts, so that nobody joins what only has to be sent."""

    __slots__ = ("content_type", "headers", "parts", "status")

    def __init__(
        self,
        status: int,
        body: bytes | list[bytes] = b"",
        content_type: str = JSON,
        headers: Sequence[tuple[str, str]] = PRIVATE,
    ) -> None:
        self.status = status
        self.parts = body if isinstance(body, list) else [body]
        self.content_type = content_type
        self.headers = headers

    @property
    def body(self) -> bytes:
        """The parts as one."""
        return b"".join(self.parts)
