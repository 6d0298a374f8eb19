"""OpenAPI as it is served: made in a thread when first asked for, kept compressed until the catalogue changes.

`/openapi/v3` is an index whose entries carry a digest, so that clients may keep a document for ever (KEP-2896);
`/openapi/v2` is everything in one Swagger document.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any

import orjson

from keelson.api import errors
from keelson.kube_apiserver import versions
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_JSON = "application/json"
_LEVEL = 5


class OpenApi:
    """The handler of /openapi/…."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._generation = -1
        self._kept: dict[str, tuple[bytes, str]] = {}
        self._making: dict[str, asyncio.Lock] = {}

    async def handle(self, request: Request, info: RequestInfo, _user: User) -> Response:
        """The index or a document. Raises StatusError 404, 406."""
        if info.verb not in ("get", "head"):
            raise errors.method_not_allowed(info.verb, info.path)
        accept = request.headers.get("accept", "*/*")
        if not any(wanted in accept for wanted in ("*/*", _JSON, "application/*")):
            raise errors.not_acceptable((_JSON,))
        path = info.path.removeprefix("/openapi/").rstrip("/")
        if self._generation != self._catalogue.generation:
            self._kept.clear()
            self._generation = self._catalogue.generation
        async with self._making.setdefault(path, asyncio.Lock()):
            kept = self._kept.get(path)
            if kept is None:
                body = await asyncio.to_thread(self._make, path)
                if body is None:
                    del self._making[path]
                    raise errors.path_not_found()
                digest = hashlib.sha512(body).hexdigest().upper()
                kept = self._kept[path] = (await asyncio.to_thread(gzip.compress, body, _LEVEL), f'"{digest}"')
        packed, etag = kept
        headers = [("ETag", etag), ("Vary", "Accept, Accept-Encoding")]
        wanted_digest = request.parameter("hash")
        if wanted_digest:
            headers.append(("Cache-Control", "public, immutable"))
        if request.headers.get("if-none-match") == etag:
            return Response(304, b"", _JSON, headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(200, packed, _JSON, [*headers, ("Content-Encoding", "gzip")])
        return Response(200, await asyncio.to_thread(gzip.decompress, packed), _JSON, headers)

    def _make(self, path: str) -> bytes | None:
        # The generator of documents is needed only by those who ask for one.
        from keelson.api import openapi

        resources = list(self._catalogue.resources())
        customs: dict[tuple[str, str, str], Any] = {
            (served.resource.group, served.resource.version, served.resource.kind): openapi.Custom(
                served.extras["openAPIV3Schema"], served.list_kind
            )
            for served in self._catalogue
            if served.custom
        }
        release = versions.info()["gitVersion"]
        if path == "v2":
            return openapi.document_v2(resources, release=release, customs=customs)
        if path == "v3":
            return orjson.dumps(openapi.index_v3(resources, customs))
        parts = path.split("/")
        if parts[:2] == ["v3", "api"] and len(parts) == 3:
            return openapi.document_v3(resources, "", parts[2], release=release, customs=customs)
        if parts[:2] == ["v3", "apis"] and len(parts) == 4:
            return openapi.document_v3(resources, parts[2], parts[3], release=release, customs=customs)
        return None
