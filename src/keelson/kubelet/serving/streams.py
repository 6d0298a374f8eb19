"""Passes an upgraded connection (exec, attach, port-forward) on to the runtime's streaming server, byte by byte.

Which protocol client and runtime speak, SPDY or WebSocket and in which version, is between them: the kubelet forwards
the request with its headers and then only carries bytes, so it neither limits nor reinterprets what they agree on.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

# Not the runtime's concern: who asks was settled here.
_WITHHELD = frozenset({"host", "authorization", "content-length", "transfer-encoding"})
_HIGH_WATER = 256 * 1024


class _Side(asyncio.Protocol):
    """One end of the passage; what it receives goes to its peer, which may ask it to wait."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.peer: _Side | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        # TLS knows no half-closed connection, so neither does the passage.
        return False

    def pause_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if self.peer is not None and not self.peer.transport.is_closing():
            # What was written before is still sent.
            self.peer.transport.close()


class Passed(web.StreamResponse):
    """The answer of a request whose connection was taken over: there is nothing left for the server to send."""

    async def prepare(self, request: Any) -> None:
        """Nothing is sent."""
        return

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is sent."""


async def forward(request: web.Request, url: str) -> web.StreamResponse:
    """Pass this request on to the runtime's URL and carry bytes until either side ends.

    Raises HTTPBadRequest where the request asks for no upgrade, HTTPBadGateway where the runtime can't be reached.
    """
    if "upgrade" not in request.headers.get("Connection", "").lower() or not request.headers.get("Upgrade"):
        raise web.HTTPBadRequest(text="unable to upgrade: missing upgrade headers in request")
    target = urlsplit(url)
    loop = asyncio.get_running_loop()
    try:
        _, far = await loop.create_connection(_Side, target.hostname or "127.0.0.1", target.port or 80)
    except OSError as error:
        raise web.HTTPBadGateway(text=f"the runtime's streaming server can't be reached: {error}") from error
    client = request.transport
    if client is None:
        far.transport.abort()
        raise ConnectionResetError("the client left")
    near = _Side()
    near.transport, near.peer, far.peer = client, far, near
    client.set_protocol(near)
    client.set_write_buffer_limits(high=_HIGH_WATER)
    far.transport.set_write_buffer_limits(high=_HIGH_WATER)
    path = target.path + (f"?{target.query}" if target.query else "")
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {target.netloc}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _WITHHELD]
    if request.method == "POST":
        lines.append("Content-Length: 0")
    far.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    try:
        await asyncio.wait([near.closed, far.closed], return_when=asyncio.FIRST_COMPLETED)
        # Either end closing closes the other once its buffer is sent.
        await asyncio.wait([near.closed, far.closed], timeout=30)
    finally:
        for side in (near, far):
            side.transport.abort()
    response = Passed()
    response.force_close()
    return response
