"""An HTTP/1.1 client for one request on one connection (RFC 9112).

A connection to a kubelet, pod or service serves exactly one request of exactly one user and is closed after it. So a
failed upgrade can't leave a connection behind on which somebody says more with the API server's credentials
(CVE-2018-1002105), and what was validated is what is connected to: the address, not a name that resolves anew.
Redirects are answers like others: nobody here follows them (CVE-2020-8559).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools

from keelson.component_base.wires import Paced, Wire, keep_alive

_HIGH_WATER = 256 * 1024
_MOST_HEADER_BYTES = 64 * 1024


class BackendError(Exception):
    """The other end can't be reached, or does not speak HTTP."""


class AddressError(BackendError):
    """The other end is at an address that must not be connected to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: a name or address, verified as such where `tls` verifies, and what addresses it may have.

    `server_name` is what the certificate must say where that is not `host`.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    is_permitted: Callable[[str], bool]
    server_name: str = ""

    @property
    def authority(self) -> str:
        """For the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Answer:
    """Status and headers; the body comes from the backend."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str:
        """The first header of this name, "" where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class Backend(Paced):
    """One connection. `connect`, `send`, then `chunks` or `upgraded`, and `close` in any case."""

    def __init__(self) -> None:
        super().__init__()
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = Answer(0)
        # What came before the head's end, and what its fields add up to.
        self._before_head = 0
        self._header_size = 0
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._paused = False
        # The body's end: reached in order (True), or lost before it (an error's text).
        self._complete = False
        self._failure = ""
        self._has_body = True
        self._until_close = False
        self._changed: asyncio.Future[None] | None = None
        self._after_upgrade = b""
        self._sending: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, target: Target, seconds: float) -> Backend:
        """Connect to the target's first address that answers. Raises BackendError."""
        why = ""
        for address in await _addresses(target):
            try:
                async with asyncio.timeout(seconds):
                    _, backend = await asyncio.get_running_loop().create_connection(
                        cls,
                        address,
                        target.port,
                        ssl=target.tls,
                        server_hostname=(target.server_name or target.host) if target.tls is not None else None,
                    )
            except TimeoutError:
                why = f"dial tcp {target.authority}: i/o timeout"
            except (OSError, ssl.SSLError) as error:
                why = f"dial tcp {target.authority}: {getattr(error, 'verify_message', '') or error}"
            else:
                return backend
        raise BackendError(why)

    # --- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        if self._answer.status == 101 and self._complete:
            self._after_upgrade += data
            return
        if not self._head.done():
            self._before_head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade += data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._fail(f"malformed HTTP response: {error}")
        if not self._head.done() and self._before_head > _MOST_HEADER_BYTES:
            self._fail("the response's headers are too large")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._until_close and error is None:
            self._complete = True
        elif not self._complete:
            self._failure = self._failure or f"the connection was lost: {error or 'unexpected EOF'}"
        if not self._head.done():
            self._head.set_exception(BackendError(self._failure))
            # Whoever awaits it sees it; nobody may, where the client left first.
            self._head.exception()
        self.resume_writing()
        self._wake()

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    # --- httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_size += len(name) + len(value)
        if self._header_size > _MOST_HEADER_BYTES:
            self._fail("the response's headers are too large")
        self._answer.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self._failure:
            return
        answer = self._answer
        answer.status = self._parser.get_status_code()
        if 100 <= answer.status < 200 and answer.status != 101:
            return
        framed = "chunked" in answer.header("transfer-encoding").lower() or answer.header("content-length")
        if not self._has_body or answer.status in (204, 304):
            # What such an answer says of its length is of another one's body (RFC 9110, 9.3.2 and 15.4.5).
            self._complete = True
        self._until_close = not framed and not self._complete and answer.status != 101
        if not self._head.done():
            self._head.set_result(answer)

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._chunks.append(body)
        self._waiting += len(body)
        if self._waiting > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if not self._head.done():
            # An interim answer (RFC 9110, 15.2): the real one follows.
            self._answer = Answer(0)
            return
        self._complete = True
        self._wake()

    # --- use

    async def send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] = b"",
        *,
        length: int | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Send the request and wait for the answer's head.

        An iterable body is sent as it comes, also while the answer does: `length` bytes, or in chunks where that is
        None.

        Raises BackendError, also where the answer takes longer than `seconds`.
        """
        self._has_body = method != "HEAD"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if isinstance(body, bytes):
            if body or method in ("POST", "PUT", "PATCH"):
                lines.append(f"Content-Length: {len(body)}")
        else:
            lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if isinstance(body, bytes):
            self._transport.write(body)
        else:
            self._sending = self._loop.create_task(self._send_body(body, chunked=length is None))
        try:
            async with asyncio.timeout(seconds):
                return await self._head
        except TimeoutError as error:
            raise BackendError("the server did not answer in time") from error

    async def _send_body(self, body: AsyncIterable[bytes], *, chunked: bool) -> None:
        try:
            async for piece in body:
                if self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await self.writable()
        except ConnectionError as error:
            # The other end must not take a part of the body for the whole.
            self._fail(str(error))
        else:
            if chunked and self._transport is not None and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises BackendError where it ends before its end."""
        while True:
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._waiting = 0
                if self._paused and not self._transport.is_closing():
                    self._paused = False
                    self._transport.resume_reading()
                yield data
            elif self._failure:
                raise BackendError(self._failure)
            elif self._complete:
                return
            else:
                self._changed = self._loop.create_future()
                await self._changed

    async def text(self, most: int = 10_240) -> str:
        """The beginning of the body, for a message."""
        found = b""
        async for chunk in self.chunks():
            found += chunk
            if len(found) >= most:
                break
        return found[:most].decode(errors="replace")

    def upgraded(self) -> Wire:
        """The bare connection after 101; this object is of no more use."""
        wire = Wire()
        transport, self._transport = self._transport, None
        transport.set_protocol(wire)
        wire.adopt(transport, self._after_upgrade)
        if transport.is_closing():
            wire.connection_lost(None)
        return wire

    def close(self) -> None:
        """End the connection, if it is still this object's."""
        if self._sending is not None:
            self._sending.cancel()
        if self._transport is not None:
            self._transport.abort()


async def _addresses(target: Target) -> list[str]:
    """The addresses of the target, every one of them permitted. Raises BackendError."""
    try:
        ipaddress.ip_address(target.host)
        found = [target.host]
    except ValueError:
        try:
            resolved = await asyncio.get_running_loop().getaddrinfo(target.host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise BackendError(f"lookup {target.host}: {error.strerror}") from error
        found = list(dict.fromkeys(str(each[4][0]) for each in resolved))
    for address in found:
        if not target.is_permitted(address):
            raise AddressError("address not allowed")
    return found
