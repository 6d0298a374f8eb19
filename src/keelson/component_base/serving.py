"""The small HTTPS (or loopback HTTP) server that a daemon shows its health and metrics on."""

from __future__ import annotations

import argparse
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from aiohttp import web

from . import metrics
from .daemons import FatalError
from .flags import Parser
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


def add_flags(parser: Parser, port: int) -> None:
    """The flags of the secure server, as upstream's component-base registers them."""
    parser.address("--bind-address", "0.0.0.0", help="address of the health and metrics server")  # noqa: S104
    parser.number("--secure-port", port, help="its port; 0 for one that the kernel chooses")
    parser.text("--tls-cert-file", help="its certificate; self-signed where not given")
    parser.text("--tls-private-key-file", help="the certificate's key")
    parser.text("--client-ca-file", help="CA of the clients that may read /metrics")


def secure(options: argparse.Namespace, endpoints: Mapping[str, Checks], *, now: datetime) -> Server:
    """The server that the flags of `add_flags` ask for; /metrics is shown to clients that --client-ca-file trusts.

    Raises FatalError naming the flag whose file can't be used.
    """
    # Imported here, for the daemons that serve plain HTTP do without the X.509 library's several megabytes.
    from . import certificates

    certificate, key, client_ca = options.tls_cert_file, options.tls_private_key_file, options.client_ca_file
    if bool(certificate) != bool(key):
        raise FatalError("--tls-cert-file and --tls-private-key-file: give both or none")
    try:
        if certificate:
            context = certificates.server_context(certificate, key, client_ca=client_ca)
        else:
            name = socket.gethostname()
            context = certificates.self_signed_context([name], ["127.0.0.1"], now=now, client_ca=client_ca)
    except (OSError, ssl.SSLError) as error:
        raise FatalError(f"--tls-cert-file, --tls-private-key-file or --client-ca-file: {error}") from error
    app = application(endpoints, authorize=_trusted_client)
    return Server(app, options.bind_address, options.secure_port, context)


async def _trusted_client(request: web.Request) -> web.StreamResponse:
    transport = request.transport
    # The handshake has verified what it got; without a certificate there is nobody to trust.
    if transport is None or not transport.get_extra_info("peercert"):
        raise web.HTTPUnauthorized(text="Unauthorized")
    return web.Response()


class Server:
    """A running listener."""

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
