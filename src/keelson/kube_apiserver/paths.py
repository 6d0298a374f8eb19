"""Paths that are no resources and need little more than what there is: health, metrics, version, discovery."""

from __future__ import annotations

import asyncio
import contextlib

import orjson

from keelson.api import errors
from keelson.component_base import metrics
from keelson.component_base.health import Checks
from keelson.storage.errors import StorageError
from keelson.storage.stores import Store

from . import versions
from .chains import Chain
from .discovery import Discovery
from .handlers import Handler
from .registry.contexts import User
from .serving.messages import Request, Response
from .serving.request_infos import RequestInfo

_STORE_SECONDS = 2.0


def health(checks: Checks) -> Handler:
    """The handler of a health endpoint and of the checks below it."""

    async def answer(request: Request, info: RequestInfo, _user: User) -> Response:
        _, endpoint, *rest = info.path.rstrip("/").split("/")
        status, text = await checks.report(
            endpoint,
            only="/".join(rest),
            excluded=frozenset(request.query.get("exclude", [])),
            verbose="verbose" in request.query,
        )
        headers = [("Cache-Control", "no-cache, private")]
        if not rest or status != 200:
            headers.append(("X-Content-Type-Options", "nosniff"))
        return Response(status, text.encode(), "text/plain; charset=utf-8", headers)

    return answer


class Paths:
    """Handlers of general paths; `address` is what discovery calls this server."""

    def __init__(self, chain: Chain, discovery: Discovery, address: str, store: Store) -> None:
        self._store = store
        self._chain = chain
        self._discovery = discovery
        self._address = address

    async def metrics(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """Metrics in Prometheus' text."""
        # What the store takes is asked of it; where it does not answer, what it said last is shown.
        with contextlib.suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_STORE_SECONDS):
                await self._store.size()
        return Response(200, metrics.render(), metrics.CONTENT_TYPE)

    async def indicators(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """What service levels are judged by (KEP-3466)."""
        return Response(200, metrics.render(metrics.INDICATORS), metrics.CONTENT_TYPE)

    async def version(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """What version this server is (version.Info)."""
        return Response(200, orjson.dumps(versions.info(), option=orjson.OPT_INDENT_2))

    async def index(self, _request: Request, _info: RequestInfo, _user: User) -> Response:
        """The paths that there are."""
        return Response(200, orjson.dumps({"paths": sorted(self._chain.paths)}))

    async def discover(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        """Discovery, also of what another server serves. Raises StatusError 404, 405."""
        parts = info.path.strip("/").split("/")
        below = ["", *parts[1:]] if parts[0] == "api" else parts[1:]
        if self._chain.elsewhere is not None and len(below) > 1:
            remote = self._chain.elsewhere(below[0], below[1])
            if remote is not None:
                return await remote(request, info, user)
        if info.verb not in ("get", "head"):
            raise errors.method_not_allowed(info.verb, info.path)
        found = self._discovery.answer(parts, request.headers.get("accept", ""), self._address)
        if found is None:
            raise errors.path_not_found()
        body, media_type, etag = found
        headers: list[tuple[str, str]] = [("Vary", "Accept")]
        if etag:
            headers += [("ETag", etag), ("Cache-Control", "public")]
            if request.headers.get("if-none-match") == etag:
                return Response(304, b"", media_type, headers)
        return Response(200, body, media_type, headers)
