"""A whole document of another server, asked for on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .backends import Backend, BackendError, Target

_CONNECT_SECONDS = 5.0
_MOST_BYTES = 64 << 20


class Fetched(NamedTuple):
    """A document as it came."""

    status: int
    body: bytes
    content_type: str
    etag: str


async def fetch(target: Target, path: str, headers: Sequence[tuple[str, str]]) -> Fetched:
    """GET a document; `headers` come beside those of the connection. Raises BackendError."""
    backend = await Backend.connect(target, _CONNECT_SECONDS)
    try:
        answer = await backend.send("GET", path, [("Host", target.authority), ("Connection", "close"), *headers])
        body = bytearray()
        async for chunk in backend.chunks():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise BackendError(f"{path}: the document is too large")
        return Fetched(answer.status, bytes(body), answer.header("content-type"), answer.header("etag"))
    finally:
        backend.close()
