"""Servers that an API server calls, on loopback and with TLS: aggregated ones, and webhooks.

`ExtensionServer` serves what its `respond` answers, and keeps what it was asked. It takes only clients that show a
certificate of the authority that it was given, as a real extension server does.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.contracts.kube_apiserver.api_servers import Authority
from tests.contracts.kube_apiserver.secure_listeners import SecureListener
from tests.contracts.storage.etcd_members import free_port

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


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
        self._listener: SecureListener | None = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        self.peer = request.get_extra_info("peercert") or {}
        return await self._respond(request)

    async def start(self) -> None:
        """Listen."""
        self._listener = SecureListener(self._tls, web.Server(self._handle), self.port)
        await self._listener.start()

    async def stop(self) -> None:
        """Listen no longer, and end every connection."""
        if self._listener is not None:
            await self._listener.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()


def status(code: int, reason: str) -> dict[str, Any]:
    """A Status of failure."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code}
