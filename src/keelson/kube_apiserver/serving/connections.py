"""HTTP/1.1 on a transport (RFC 9112): llhttp parses, one request at a time is answered, in order.

aiohttp's server was measured at less than half of this speed, and exec, attach and port-forward need the bare transport
after an upgrade. A connection knows nothing of Kubernetes: it hands `Request`s to a handler and writes what comes back.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httptools
from cryptography import x509

from . import compression
from .heads import head
from .links import Links
from .messages import Body, Request, Response
from .streams import Stream

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response | None]]
Quick = Callable[["dict[bytes, Any]", bytes, "Connection"], bool]

# Go's net/http takes a megabyte of headers; no client needs a tenth of that.
_MOST_HEADER_BYTES = 65_536
_MOST_PIPELINED = 16
_HIGH_WATER = 1 << 20
# How much of a body that is passed on may wait for whoever takes it.
_MOST_WAITING = 1 << 18
_SLICE = 1 << 18
_LINGER_SECONDS = 0.5
_MOST_DROPPED = 16 << 20
_END = b"\r\n\r\n"
_EXPECTED = "100-continue"
# Headers with which a request is more than its headers, or the connection more than its requests.
_FRAMING = frozenset({"content-length", "transfer-encoding", "expect", "upgrade", "connection"})


def _nothing() -> None:
    """For a client that does not ask before it sends."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self,
        handler: Handler,
        connections: set[Connection],
        *,
        malformed: Callable[[str], Response],
        links: Links,
        passes_body: Callable[[bytes], bool] = lambda _target: False,
        quick: Quick | None = None,
    ) -> None:
        """`passes_body` tells of a request's target whether its handler passes the body on while it comes.

        A body that did not come with the headers is not waited for either: whether it is taken is for the handler to
        decide, once it knows who sends it.

        `quick` may answer a GET whose headers are those of an earlier one: it is given what `routes` then had, the
        target and the connection, and tells whether it will call `answer_quick`.
        """
        self._handler = handler
        self._connections = connections
        self._malformed = malformed
        self._links = links
        self._passes_body = passes_body
        self._quick = quick
        self._quick_under_way = False
        # The headers of the last GET that came in one piece, as they were sent, and what its handler keeps by them.
        self._block = b""
        self._routes: dict[bytes, Any] = {}
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._certificate: x509.Certificate | None = None
        self._certificate_known = False
        self.remote = ""
        # What the handler keeps of who is at the other end.
        self.credential: Any = None
        self.idle_since = self._loop.time()
        # Set when the transport is closed or belongs to somebody else.
        self.gone = asyncio.Event()
        self._closing = False
        self._streaming = False
        self._taken = False
        self._lingering = False
        self._dropped = 0
        self._upgrading = False
        self._after_upgrade = b""
        self._reset_message()

    def _reset_message(self) -> None:
        self._begun = self._alone = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated: dict[str, list[str]] | None = None
        self._body: list[bytes] = []
        # What has come before the headers' end, and what their fields add up to.
        self._header_size = 0
        self._field_bytes = 0
        # What has come after them without being of the body: chunks' extensions, trailers.
        self._extra_size = 0
        self._in_headers = True
        # The body of the message under way, where its handler was not kept waiting for it.
        self._incoming: Body | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        transport.set_write_buffer_limits(high=_HIGH_WATER)  # type: ignore[attr-defined]
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self.gone.set()
        self.transport = None
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(ConnectionResetError("the client is gone"))
            self._writable.exception()
        if self._incoming is not None:
            self._incoming.lose()
        if self._task is not None:
            self._task.cancel()
        # Its callbacks are this connection's: two that hold each other stay until the collector comes.
        del self._parser

    def eof_received(self) -> bool:
        # A client that has nothing more to say is gone: half-closed connections are not kept (as Go's server).
        return False

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._dropped += len(data)
            if self._dropped > _MOST_DROPPED:
                self.abort()
            return
        if self._upgrading:
            # It was on its way when reading paused; TLS hands over whole records.
            self._after_upgrade += data
            return
        if data.startswith(b"GET ") and data.endswith(_END) and self._at_rest and self._is_quick(data):
            return
        if self._in_headers:
            self._header_size += len(data)
        else:
            self._extra_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            self._after_upgrade += data[upgrade.args[0] :]
        except (httptools.HttpParserError, UnicodeDecodeError) as error:
            if self._closing and self.busy and not self._begun:
                # It follows the connection's last request, whose answer it must not take away.
                return
            self._refuse(self._malformed(str(error)))
            return
        if self._in_headers:
            if self._header_size > _MOST_HEADER_BYTES:
                self._refuse(Response(431, b"request headers too large", "text/plain"))
        elif self._extra_size > _MOST_HEADER_BYTES:
            self._refuse(Response(431, b"request trailers too large", "text/plain"))
        elif self._incoming is None and not self._lingering:
            # The headers are here and the body is not.
            self._open_body(passed_on=False)

    @property
    def _at_rest(self) -> bool:
        return not self._begun and self._task is None and not self._quick_under_way and not self._closing

    def _is_quick(self, data: bytes) -> bool:
        """Whether a GET that came in one piece is being answered already, because its headers are known."""
        end = data.find(b"\r\n")
        block = data[end:]
        if block == self._block:
            if (
                self._quick is not None
                and self._writable is None
                and data[end - 9 : end] == b" HTTP/1.1"
                and self._quick(self._routes, data[4 : end - 9], self)
            ):
                self._quick_under_way = True
                return True
        elif block.find(_END) == len(block) - 4:
            # One whole request and no more: its headers become those to look out for, once they are understood.
            self._block, self._routes = block, {}
        else:
            return False
        self._alone = True
        return False

    def pause_writing(self) -> None:
        if self._writable is None or self._writable.done():
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # --- httptools' callbacks

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value)
        if not self._in_headers:
            # A trailer. Whoever filters headers in front of this server has not seen it (RFC 9110, 6.5.1).
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if key in self._headers:
            if self._repeated is None:
                self._repeated = {}
            self._repeated.setdefault(key, [self._headers[key]]).append(text)
            # RFC 9110, 5.3: several lines of one field are one list.
            text = f"{self._headers[key]}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        self._in_headers = False
        if self._field_bytes > _MOST_HEADER_BYTES:
            self._refuse(Response(431, b"request headers too large", "text/plain"))
            return
        host = self._headers.get("host")
        if "," in host if host is not None else self._parser.get_http_version() == "1.1":
            # RFC 9112, 3.2.
            self._refuse(self._malformed("a request names one host"))
            return
        if self._headers.get("expect", _EXPECTED).lower() != _EXPECTED:
            self._refuse(Response(417, b"only 100-continue can be expected", "text/plain"))
            return
        if self._parser.should_upgrade():
            # What follows belongs to whoever takes the connection over; where nobody does, it can't be read as HTTP.
            if self.transport is not None:
                self._closing = True
                self.transport.pause_reading()
        elif self._passes_body(self._url) and self._has_body:
            self._open_body(passed_on=True)

    @property
    def _has_body(self) -> bool:
        return self._headers.get("content-length", "") not in ("", "0") or "transfer-encoding" in self._headers

    def _open_body(self, *, passed_on: bool) -> None:
        """Hand the request over while its body is yet to come."""
        method, target = self._parser.get_method().decode(), self._url.decode("latin-1")
        request = Request(method, target, self._headers, b"", self)
        if self._repeated is not None:
            request.repeated = self._repeated
        asks_first = self._headers.get("expect", "").lower() == _EXPECTED
        self._incoming = request.incoming = Body(self._take_more, self._go_ahead if asks_first else _nothing)
        request.is_passed_on = passed_on
        for part in self._body:
            self._incoming.feed(part)
        self._body.clear()
        self._enqueue(request)

    def _go_ahead(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_more(self) -> None:
        if self.transport is not None and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def on_body(self, body: bytes) -> None:
        self._extra_size = 0
        if self._incoming is not None:
            self._incoming.feed(body)
            if self._incoming.waiting > _MOST_WAITING and self.transport is not None:
                self.transport.pause_reading()
            return
        if not self._lingering:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._incoming is not None:
            self._incoming.finish()
            self._closing = self._closing or not self._parser.should_keep_alive()
            self._reset_message()
            return
        method = self._parser.get_method().decode()
        request = Request(method, self._url.decode("latin-1"), self._headers, b"".join(self._body), self)
        if self._repeated is not None:
            request.repeated = self._repeated
        keep_alive = self._parser.should_keep_alive()
        if self._alone and keep_alive and _FRAMING.isdisjoint(self._headers):
            request.routes = self._routes
        self._reset_message()
        if not keep_alive:
            self._closing = True
        if self._lingering:
            return
        self._enqueue(request)

    def _enqueue(self, request: Request) -> None:
        self._queue.append(request)
        if len(self._queue) > _MOST_PIPELINED and self.transport is not None:
            self.transport.pause_reading()
        if self._task is None and not self._quick_under_way:
            self._task = self._loop.create_task(self._work())

    # --- answering

    def answer_quick(self, data: bytes) -> None:
        """The whole answer to the request that `quick` has taken; nothing where the client is gone."""
        self._quick_under_way = False
        if self.transport is None:
            return
        self.transport.write(data)
        self.idle_since = self._loop.time()
        if self._queue:
            self._task = self._loop.create_task(self._work())
        elif self._closing:
            self.transport.close()

    def rendered(self, response: Response, lines: bytes = b"") -> bytes:
        """An answer as it is sent; `lines` are further headers, each with its line's end."""
        return b"".join((self._head(response, len(response.body), lines), response.body))

    def _refuse(self, response: Response) -> None:
        """Answer what can't become a request, and close.

        The client may be in the midst of sending: what it sends is read and dropped for a moment, because closing on
        unread bytes would reset the connection and take the answer with it (RFC 9112, 9.6). A flood is cut.
        """
        if self._lingering or self.transport is None:
            return
        self._closing = self._lingering = True
        if self._task is not None or self._quick_under_way:
            # Answers under way come before this one and can't be overtaken.
            self.transport.abort()
            return
        self.transport.write(self.rendered(response))
        self._end()

    def _end(self) -> None:
        """Close, after a moment where the client may be sending still."""
        if self.transport is None:
            return
        if not self._lingering:
            self.transport.close()
            return
        if not self.transport.is_reading():
            self.transport.resume_reading()
        self._loop.call_later(_LINGER_SECONDS, self._close)

    def _close(self) -> None:
        if self.transport is None:
            return
        if self._dropped:
            # TLS would read on until the client says farewell, and this one may never.
            self.transport.abort()
        else:
            self.transport.close()

    async def _work(self) -> None:
        while self._queue and self.transport is not None:
            request = self._queue.popleft()
            try:
                response = await self._handler(request)
                if self._taken:
                    return
                if request.incoming is not None and not request.incoming.finished:
                    # Where the next request would begin, nobody knows.
                    self._closing = self._lingering = True
                if response is not None:
                    await self._write(request, response)
            except ConnectionError:
                break
            except asyncio.CancelledError:
                if self.transport is not None and not self._taken:
                    self.transport.abort()
                # The task keeps what ended it, with this frame.
                self._task = None
                raise
            if self._streaming:
                self._streaming = False
            self.idle_since = self._loop.time()
            if self._closing and self.transport is not None:
                self._end()
                return
            if self._queue:
                # A client that pipelines must not keep others from their turn.
                await asyncio.sleep(0)
        self._task = None
        if self.transport is not None and not self.transport.is_reading():
            self.transport.resume_reading()

    def _head(self, response: Response, size: int, lines: bytes) -> bytes:
        more = b"Connection: close\r\n" if self._closing else b""
        return b"%b%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n" % (
            head(response.status, response.headers),
            lines,
            response.content_type.encode(),
            size,
            more,
        )

    async def _write(self, request: Request, response: Response) -> None:
        size = sum(map(len, response.parts))
        assert self.transport is not None
        if request.method == "HEAD":
            self.transport.write(self._head(response, size, request.head))
            return
        if compression.is_meant(request, response, size):
            if not self._links.is_quick(self.remote, self.transport):
                await self._write_gzipped(request, response)
                return
            await self._write_sliced(request, response, size)
            self._links.look(self.remote, self.transport)
            return
        if size <= _SLICE:
            self.transport.write(b"".join((self._head(response, size, request.head), *response.parts)))
            if self._writable is not None:
                await self.drain()
            return
        await self._write_sliced(request, response, size)

    async def _write_sliced(self, request: Request, response: Response, size: int) -> None:
        """A large answer in slices, each after the client took the one before; others get their turn between."""
        piece, room = [self._head(response, size, request.head)], _SLICE
        for part in response.parts:
            piece.append(part)
            room -= len(part)
            if room <= 0:
                await self._flush(piece)
                piece, room = [], _SLICE
        await self._flush(piece)

    async def _write_gzipped(self, request: Request, response: Response) -> None:
        """An answer as gzip, in slices as any other; its length isn't known before its end."""
        headers = (*response.headers, ("Content-Type", response.content_type), *compression.HEADERS)
        stream = self.stream(response.status, headers, request.head)
        body = compression.slices(response.parts)
        ready = next(body)
        for more in body:
            stream.send(ready)
            await self.drain()
            await asyncio.sleep(0)
            ready = more
        stream.send(ready)
        stream.finish()

    async def _flush(self, piece: list[bytes]) -> None:
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self.transport.write(b"".join(piece))
        await self.drain()
        await asyncio.sleep(0)

    async def drain(self) -> None:
        """Wait until the transport takes more. Raises ConnectionError where the client is gone."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        if self._writable is not None:
            await self._writable

    def stream(
        self,
        status: int,
        headers: Sequence[tuple[str, str]],
        lines: bytes = b"",
        *,
        chunked: bool = True,
        mute: bool = False,
    ) -> Stream:
        """Begin an answer whose body comes in pieces; without `chunked` the headers must tell where it ends.

        `lines` are further headers, each with its line's end.
        """
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self._streaming = True
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        closing = b"Connection: close\r\n" if self._closing else b""
        self.transport.write(b"%b%b%b%b\r\n" % (head(status, headers), lines, framing, closing))
        return Stream(self, chunked=chunked, mute=mute)

    def take_over(self, protocol: Callable[[asyncio.Transport], asyncio.Protocol]) -> bytes:
        """Hand the transport to another protocol; reading is paused where the request asked for an upgrade."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self._taken = True
        self.gone.set()
        transport = self.transport
        self._connections.discard(self)
        transport.set_protocol(protocol(transport))
        if not transport.is_reading():
            transport.resume_reading()
        return self._after_upgrade

    # --- for the server

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None or self._quick_under_way

    def close_when_idle(self) -> None:
        """Close now, or after the answer under way."""
        self._closing = True
        if not self.busy and self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        if self.transport is not None:
            self.transport.abort()

    @property
    def certificate(self) -> x509.Certificate | None:
        """The client's certificate, parsed once."""
        if not self._certificate_known and self.transport is not None:
            self._certificate_known = True
            channel = self.transport.get_extra_info("ssl_object")
            if isinstance(channel, ssl.SSLObject) or channel is not None:
                raw = channel.getpeercert(binary_form=True)
                self._certificate = x509.load_der_x509_certificate(raw) if raw else None
        return self._certificate
