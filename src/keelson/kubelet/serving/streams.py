"""Passes an upgraded connection (exec, attach, port-forward) on to the runtime's streaming server, byte by byte.

Which protocol client and runtime speak, SPDY or WebSocket and in which version, is between them: the kubelet forwards
the request with its headers and then only carries bytes, so it neither limits nor reinterprets what they agree on.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from keelson.component_base import wires

# Not the runtime's concern: who asks was settled here.
_WITHHELD = frozenset({"host", "authorization", "content-length", "transfer-encoding"})


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
    try:
        _, far = await asyncio.get_running_loop().create_connection(
            wires.Wire, target.hostname or "127.0.0.1", target.port or 80
        )
    except OSError as error:
        raise web.HTTPBadGateway(text=f"the runtime's streaming server can't be reached: {error}") from error
    client = request.transport
    if client is None:
        far.abort()
        raise ConnectionResetError("the client left")
    near = wires.Wire().adopt(client)
    client.set_protocol(near)
    path = target.path + (f"?{target.query}" if target.query else "")
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {target.netloc}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _WITHHELD]
    if request.method == "POST":
        lines.append("Content-Length: 0")
    # Whichever end leaves first, the other gets what is left and is closed; then there is nobody to be told of it.
    with contextlib.suppress(ConnectionError):
        await far.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await wires.join(near, far)
    response = Passed()
    response.force_close()
    return response
