"""A real webhook on loopback: TLS by a throw-away CA, one handler a path, everything it was asked kept."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.contracts.kube_apiserver.api_servers import Authority
from tests.contracts.kube_apiserver.secure_listeners import SecureListener

Review = dict[str, Any]
# From the request of a review to the response, which is completed with the uid.
Handler = Callable[[Review], Review]


def patch(*operations: dict[str, Any]) -> Review:
    """A response that changes the object by a JSON patch."""
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def denied(message: str, **status: Any) -> Review:
    """A response that refuses."""
    return {"allowed": False, "status": {"message": message, **status}}


class WebhookServer:
    """Serves while its context is open. `reviews` answers admission reviews by path, `raw` anything.

    With `clients` it asks for certificates of that authority.
    """

    def __init__(
        self, folder: Path, *, names: tuple[str, ...] = ("localhost",), clients: Authority | None = None
    ) -> None:
        self.authority = Authority("webhooks")
        certificate, key = self.authority.issue("webhook", names=names, addresses=["127.0.0.1"])
        pair = folder / "webhook.pem"
        pair.write_bytes(certificate + key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair)
        if clients is not None:
            self._context.load_verify_locations(cadata=clients.pem.decode())
            self._context.verify_mode = ssl.CERT_OPTIONAL
        self.reviews: dict[str, Handler] = {}
        self.raw: dict[str, Callable[[web.BaseRequest], Any]] = {}
        # (path with query, request of the review), in the order in which they came.
        self.asked: list[tuple[str, Review]] = []
        # The headers of the last review.
        self.headers: Mapping[str, str] = {}
        self.connections: set[asyncio.BaseTransport] = set()
        self.release = asyncio.Event()
        self.port = 0
        self._listener: SecureListener | None = None

    @property
    def bundle(self) -> str:
        """The caBundle of a clientConfig."""
        return base64.b64encode(self.authority.pem).decode()

    def config(self, path: str) -> dict[str, Any]:
        """The clientConfig of a path."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self.connections.add(request.transport)
        if (raw := self.raw.get(request.path)) is not None:
            found: web.StreamResponse = await raw(request)
            return found
        review = json.loads(await request.content.read())
        self.headers = request.headers
        self.asked.append((request.path_qs, review["request"]))
        response = {"uid": review["request"]["uid"], **self.reviews[request.path](review["request"])}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})

    async def hang(self, _request: web.BaseRequest) -> web.Response:
        """A raw handler that answers only when the server is released."""
        await self.release.wait()
        return web.Response()

    async def __aenter__(self) -> Self:
        self._listener = SecureListener(self._context, web.Server(self._answer))
        await self._listener.start()
        self.port = self._listener.port
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release.set()
        assert self._listener is not None
        await self._listener.stop()
