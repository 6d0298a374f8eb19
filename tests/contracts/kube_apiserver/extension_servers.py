"""Servers that an API server calls, on loopback and with TLS: aggregated ones, and webhooks.

`ExtensionServer` serves what its `respond` answers, and keeps what it was asked. It takes only clients that show a
certificate of the authority that it was given, as a real extension server does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.contracts.kube_apiserver.api_servers import Authority
from tests.contracts.storage.etcd_members import free_port

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Accepting(asyncio.Protocol):
    """Hands a new connection over, before it says anything."""

    def __init__(self, accept: Callable[[asyncio.Transport], None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._accept(transport)


class ExtensionServer:
    """One server, for its context. `names` are those of its certificate."""

    def __init__(self, folder: Path, names: list[str], respond: Respond, *, clients: bytes = b"") -> None:
        self.port = free_port()
        self.authority = Authority("extension")
        self.requests: list[web.BaseRequest] = []
        # The certificate that came with the last request, as `ssl.SSLSocket.getpeercert` shows it.
        self.peer: dict[str, Any] = {}
        self._respond = respond
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self.authority.issue(names[0], names=names, addresses=["127.0.0.1"])
        (folder / "tls.crt").write_bytes(certificate)
        (folder / "tls.key").write_bytes(key)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        if clients:
            self._tls.load_verify_locations(cadata=clients.decode())
            self._tls.verify_mode = ssl.CERT_REQUIRED
        self._listener: asyncio.Server | None = None
        self._handlers: web.Server | None = None
        # Below and above TLS, so that also those go with the server whose handshake is not done.
        self._connections: set[asyncio.Transport] = set()
        self._secured: set[asyncio.Transport] = set()
        self._handshakes: set[asyncio.Task[None]] = set()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        self.peer = request.get_extra_info("peercert") or {}
        return await self._respond(request)

    def _accept(self, transport: asyncio.Transport) -> None:
        if self._listener is None:
            # It was on its way when the server stopped.
            transport.abort()
            return
        self._connections.add(transport)
        task = asyncio.create_task(self._secure(transport))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(self, transport: asyncio.Transport) -> None:
        assert self._handlers is not None
        protocol = self._handlers()
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(transport, protocol, self._tls, server_side=True)
        except OSError:
            # The client did not like the certificate, or left.
            transport.abort()
            return
        if secured is None:
            return
        if self._listener is None:
            # The server stopped meanwhile; what nobody closes is complained of when it is collected.
            secured.abort()
            return
        self._secured.add(secured)
        protocol.connection_made(secured)

    async def start(self) -> None:
        """Listen."""
        self._handlers = web.Server(self._handle)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Accepting(self._accept), "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no longer, and end every connection."""
        if self._listener is None or self._handlers is None:
            return
        self._listener.close()
        self._listener = None
        # Connections that were being accepted get here in the event loop's next turns; so does an aborted one's end.
        await _turns()
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

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def status(code: int, reason: str) -> dict[str, Any]:
    """A Status of failure."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code}
