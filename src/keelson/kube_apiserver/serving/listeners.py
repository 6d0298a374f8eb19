"""The TLS listener: accepts connections, ends idle ones, and drains in order."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from .connections import Connection, Handler, Quick
from .links import Links
from .messages import Response

log = logging.getLogger(__name__)

_IDLE_SECONDS = 120.0
_HANDSHAKE_SECONDS = 10.0
_SWEEP_SECONDS = 5.0


class Listener:
    """A bound port. Use as an async context manager: leaving it closes what is idle and waits for what is not."""

    def __init__(
        self,
        handler: Handler,
        address: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        malformed: Callable[[str], Response],
        passes_body: Callable[[bytes], bool] = lambda _target: False,
        drain_seconds: float = 10.0,
        quick: Quick | None = None,
    ) -> None:
        self._handler = handler
        self._address = address
        self._port = port
        self._context = context
        self._malformed = malformed
        self._passes_body = passes_body
        self._drain_seconds = drain_seconds
        self._quick = quick
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is bound."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Listener:
        links = Links()

        def connection() -> Connection:
            return Connection(
                self._handler,
                self.connections,
                malformed=self._malformed,
                links=links,
                passes_body=self._passes_body,
                quick=self._quick,
            )

        self._server = await asyncio.get_running_loop().create_server(
            connection,
            self._address,
            self._port,
            family=socket.AF_UNSPEC,
            ssl=self._context,
            backlog=1024,
            reuse_address=True,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._context is not None else None,
        )
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            oldest = loop.time() - _IDLE_SECONDS
            for connection in [c for c in self.connections if not c.busy and c.idle_since < oldest]:
                connection.close_when_idle()

    def close(self) -> None:
        """Take no more connections."""
        assert self._server is not None
        self._server.close()

    def close_idle(self) -> None:
        """Close every connection: now, or with the end of the answer under way on it."""
        for connection in list(self.connections):
            connection.close_when_idle()

    async def __aexit__(self, *_error: object) -> None:
        assert self._sweeper is not None
        self._sweeper.cancel()
        self.close()
        self.close_idle()
        try:
            async with asyncio.timeout(self._drain_seconds):
                for connection in list(self.connections):
                    await connection.gone.wait()
        except TimeoutError:
            log.warning("%d connections are cut that did not end in time", len(self.connections))
        for connection in list(self.connections):
            connection.abort()
