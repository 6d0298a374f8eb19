"""The small HTTPS (or loopback HTTP) server that a daemon shows its health and metrics on."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from . import metrics
from .health import Checks

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(endpoints: Mapping[str, Checks], *, authorize: Handler | None = None) -> web.Application:
    """An application with each endpoint's checks ("/healthz": checks), their sub-paths, and /metrics.

    `authorize`, where given, is asked before /metrics and answers by raising an HTTP error where it refuses.
    """
    app = web.Application()

    def health(path: str, checks: Checks) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            status, text = await checks.report(
                path.removeprefix("/"),
                only=request.match_info.get("name", ""),
                excluded=frozenset(request.query.getall("exclude", [])),
                verbose="verbose" in request.query,
            )
            return web.Response(status=status, text=text, headers={"X-Content-Type-Options": "nosniff"})

        return answer

    async def render(request: web.Request) -> web.Response:
        if authorize is not None:
            await authorize(request)
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    for path, checks in endpoints.items():
        app.router.add_get(path, health(path, checks))
        app.router.add_get(path + "/{name}", health(path, checks))
    app.router.add_get("/metrics", render)
    return app


class Server:
    """A running listener; `port` 0 lets the kernel choose, `bound_port` tells what it chose."""

    def __init__(self, app: web.Application, address: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self._runner = web.AppRunner(app, access_log=None)
        self._address = address
        self._port = port
        self._context = context

    async def __aenter__(self) -> Server:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._port, ssl_context=self._context, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    @property
    def bound_port(self) -> int:
        """The port that the listener has."""
        return int(self._runner.addresses[0][1])
