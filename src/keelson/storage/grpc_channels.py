"""gRPC ("gRPC over HTTP2") to one server: calls of one message each way, and calls of many.

Messages go in and out as bytes: which protobuf they are is their caller's to know.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from . import http2
from .http2 import Connection, Http2Error, literal

_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_CONNECT_SECONDS = 5.0
OUT_OF_TIME = "failed to connect in time"
"""The details of a call whose time ended before there was a connection."""


class CallError(Exception):
    """A call that failed. `code` is the name of its status, `sent` whether the server may have taken it in."""

    def __init__(self, code: str, details: str, *, sent: bool) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.sent = sent

    @property
    def number(self) -> int:
        """The number of its status."""
        return _NAMES.index(self.code)


def _failure(headers: Mapping[str, str]) -> CallError | None:
    """What trailers (or the headers of an answer without a message) tell; None where the call succeeded."""
    status = headers.get("grpc-status")
    if status == "0":
        return None
    if status is None or not status.isdecimal():
        return CallError("UNKNOWN", f"an answer that is no gRPC (status {headers.get(':status', '?')})", sent=True)
    code = _NAMES[int(status)] if int(status) < len(_NAMES) else "UNKNOWN"
    return CallError(code, unquote(headers.get("grpc-message", "")), sent=True)


def _broken(error: Http2Error) -> CallError:
    return CallError("UNAVAILABLE", str(error), sent=error.sent)


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class _Unary(http2.Call):
    """A call of one message each way."""

    __slots__ = ("_chunks", "_trailers", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.future: asyncio.Future[bytes] = loop.create_future()
        self._chunks: list[bytes] = []
        self._trailers: Mapping[str, str] = {}

    def on_headers(self, headers: Mapping[str, str]) -> None:
        self._trailers = headers

    def on_data(self, data: bytes) -> None:
        self._chunks.append(data)

    def on_end(self) -> None:
        if self.future.done():
            return
        failure = _failure(self._trailers)
        message = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if failure is None and int.from_bytes(message[1:5], "big") + 5 != len(message):
            failure = CallError("INTERNAL", "the answer's message is cut short", sent=True)
        if failure is None:
            self.future.set_result(message[5:])
        else:
            self.future.set_exception(failure)

    def on_error(self, error: Http2Error) -> None:
        if not self.future.done():
            self.future.set_exception(_broken(error))

    def expire(self) -> None:
        """The caller's patience is at its end."""
        if not self.future.done():
            self.future.set_exception(CallError("DEADLINE_EXCEEDED", "Deadline Exceeded", sent=self.id != 0))
            if self.connection is not None:
                self.connection.cancel(self)


class Stream(http2.Call):
    """A call of many messages each way, on a connection of its own."""

    __slots__ = ("_chunks", "_ended", "_failure", "_messages", "_trailers", "_waiter", "owner")

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.owner = connection
        self._chunks = bytearray()
        self._messages: deque[bytes] = deque()
        self._trailers: Mapping[str, str] = {}
        self._ended = False
        self._failure: CallError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def on_headers(self, headers: Mapping[str, str]) -> None:
        self._trailers = headers

    def on_data(self, data: bytes) -> None:
        chunks = self._chunks
        chunks += data
        at = 0
        while len(chunks) - at >= 5:
            end = at + 5 + int.from_bytes(chunks[at + 1 : at + 5], "big")
            if end > len(chunks):
                break
            self._messages.append(bytes(chunks[at + 5 : end]))
            at = end
        del chunks[:at]
        if self._messages:
            self._wake()

    def on_end(self) -> None:
        self._failure, self._ended = _failure(self._trailers), True
        self._wake()

    def on_error(self, error: Http2Error) -> None:
        self._failure, self._ended = _broken(error), True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def write(self, message: bytes) -> None:
        """Send one more message. Raises CallError where the call has ended."""
        if self._ended:
            raise self._failure or CallError("CANCELLED", "the call has ended", sent=False)
        self.owner.send(self, _framed(message))

    @property
    def has_more(self) -> bool:
        """Whether `read` has a message to give without waiting."""
        return bool(self._messages)

    async def read(self) -> bytes | None:
        """The next message, None at the end. Raises CallError."""
        while not self._messages:
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._messages.popleft()

    def close(self) -> None:
        """End the call; whoever reads is told that it ended."""
        if not self._ended:
            self._ended = True
            self._wake()
        self.owner.close()


class Channel:
    """Calls to one server, given as a URL: `http` is in the clear and `https` by `context`.

    `unix:path` and `unix-abstract:name` are sockets of this host.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None, metadata: Mapping[str, str]) -> None:
        """`metadata` goes with every call."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        # A socket without a name in the file system has a name that begins with a zero (unix(7)).
        self._socket = {"unix": parts.path, "unix-abstract": f"\0{parts.path}"}.get(parts.scheme, "")
        self._context = context
        # :method POST is 3, :scheme http and https are 6 and 7 of the static table (RFC 7541, appendix A).
        self._head = (
            b"\x83"
            + (b"\x87" if parts.scheme == "https" else b"\x86")
            + literal(":authority", "localhost" if self._socket else parts.netloc)
        )
        own = {"content-type": "application/grpc", "te": "trailers", **metadata}
        self._tail = b"".join([literal(name, value) for name, value in own.items()])
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._closed = False

    def method(self, path: str) -> bytes:
        """The headers of a call of `/package.Service/Method`, for `unary` and `stream`."""
        return self._head + literal(":path", path) + self._tail

    async def unary(self, method: bytes, message: bytes, timeout: float) -> bytes:
        """The answer to one message. Raises CallError."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected(timeout)
        call = _Unary(loop)
        connection.begin(call, method, _framed(message))
        timer = loop.call_later(timeout, call.expire)
        try:
            return await call.future
        except asyncio.CancelledError:
            connection.cancel(call)
            raise
        finally:
            timer.cancel()

    async def stream(self, method: bytes, message: bytes, timeout: float) -> Stream:
        """A call that goes on, begun with one message, on a connection of its own. Raises CallError."""
        try:
            async with asyncio.timeout(timeout):
                connection = await self._connect()
        except TimeoutError as error:
            raise CallError("UNAVAILABLE", OUT_OF_TIME, sent=False) from error
        call = Stream(connection)
        connection.begin(call, method, _framed(message), last=False)
        return call

    async def _connected(self, timeout: float) -> Connection:
        """The connection that all share, made by whoever comes first."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            # Whoever waits is told; nobody may be left.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(timeout):
                self._connection = await asyncio.shield(self._connecting)
        except TimeoutError as error:
            raise CallError("UNAVAILABLE", OUT_OF_TIME, sent=False) from error
        return self._connection

    async def _connect(self) -> Connection:
        if self._closed:
            raise CallError("CANCELLED", "the channel is closed", sent=False)
        name = self._host if self._context is not None else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                loop = asyncio.get_running_loop()
                if self._socket:
                    _, connection = await loop.create_unix_connection(Connection, self._socket)
                else:
                    _, connection = await loop.create_connection(
                        Connection, self._host, self._port, ssl=self._context, server_hostname=name
                    )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            where = repr(self._socket) if self._socket else f"{self._host}:{self._port}"
            why = f"failed to connect to {where}: {error or type(error).__name__}"
            raise CallError("UNAVAILABLE", why, sent=False) from error
        return connection

    async def close(self) -> None:
        """Close the shared connection; streams are closed by whoever has them."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
