"""Listening with TLS for as long as a test lasts, and leaving no connection behind, however far its handshake is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from aiohttp import web


class _Accepting(asyncio.Protocol):
    """Hands a new connection over, before it says anything."""

    def __init__(self, accept: Callable[[asyncio.Transport], None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._accept(transport)


class SecureListener:
    """Listens on loopback from `start` to `stop`; `handlers` serve what comes. `port` 0 is any that is free."""

    def __init__(self, context: ssl.SSLContext, handlers: web.Server, port: int = 0) -> None:
        self.port = port
        self._context = context
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        # Below and above TLS, so that also those go with the listener whose handshake is not done.
        self._connections: set[asyncio.Transport] = set()
        self._secured: set[asyncio.Transport] = set()
        self._handshakes: set[asyncio.Task[None]] = set()

    def _accept(self, transport: asyncio.Transport) -> None:
        if self._server is None:
            # It was on its way when the listener stopped.
            transport.abort()
            return
        self._connections.add(transport)
        task = asyncio.create_task(self._secure(transport))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(self, transport: asyncio.Transport) -> None:
        protocol = self._handlers()
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(transport, protocol, self._context, server_side=True)
        except OSError:
            # The client did not like the certificate, or left.
            transport.abort()
            return
        if secured is None:
            return
        if self._server is None:
            # The listener stopped meanwhile; what nobody closes is complained of when it is collected.
            secured.abort()
            return
        self._secured.add(secured)
        protocol.connection_made(secured)

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Accepting(self._accept), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer, and end every connection."""
        if self._server is None:
            return
        server, self._server = self._server, None
        loop = asyncio.get_running_loop()
        for each in server.sockets:
            # A connection that is being accepted while the server closes is lost unclosed (CPython's gh-109564): accept
            # no more, let those under way arrive in the loop's next turns, and close then.
            loop.remove_reader(each.fileno())
        await _turns()
        server.close()
        await self._handlers.shutdown(0.1)
        for transport in self._secured:
            if not transport.is_closing():
                transport.abort()
        # Also those that are closing: what they still have to say may keep them open longer than the test.
        for transport in self._connections:
            transport.abort()
        self._secured.clear()
        self._connections.clear()
        # Not cancelled, which would leave a handshake's transport to nobody: without its connection each ends.
        await asyncio.gather(*self._handshakes)
        await _turns()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
