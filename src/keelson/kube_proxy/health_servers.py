"""What load balancers and operators ask the proxy over HTTP: /healthz and /livez, /metrics and /proxyMode, node ports.

/healthz tells a cloud's load balancer whether this node can take traffic (KEP-3458): unhealthy while rules are older
than a change by more than two sync periods, or while the Node is being removed. /livez looks at the rules alone. A
Service of type LoadBalancer with externalTrafficPolicy Local has a healthCheckNodePort that answers for its endpoints.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.informers import Informer
from keelson.component_base.daemons import FatalError
from keelson.component_base.health import Checks
from keelson.component_base.serving import Server, application

from .proxiers import Proxier

log = logging.getLogger(__name__)

_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


@asynccontextmanager
async def listening(app: web.Application, address: tuple[str, int] | None, purpose: str) -> AsyncIterator[None]:
    """Serve an application; nothing where there is no address. FatalError where the address can't be bound."""
    if address is None:
        yield
        return
    server = Server(app, *address)
    try:
        await server.__aenter__()
    except OSError as error:
        raise FatalError(f"{purpose}: {address[0]}:{address[1]}: {error.strerror}") from error
    try:
        yield
    finally:
        await server.__aexit__()


def rules_are_current(proxier: Proxier, patience: float, now: Callable[[], float] = time.monotonic) -> bool:
    """Whether no change has waited for longer than `patience` seconds."""
    return proxier.pending_since is None or now() - proxier.pending_since < patience


def health_application(proxier: Proxier, nodes: Informer, patience: float) -> web.Application:
    """/healthz and /livez in upstream's JSON."""

    def eligible() -> bool:
        node = next(iter(nodes.store), None)
        if node is None:
            return True
        taints = (node.get("spec") or {}).get("taints") or ()
        return not meta.is_deleting(node) and all(taint.get("key") != _TO_BE_DELETED for taint in taints)

    def answer(healthy: bool, *, with_node: bool) -> web.Response:
        now = datetime.now(UTC)
        updated = datetime.fromtimestamp(now.timestamp() - (time.monotonic() - proxier.last_sync), UTC)
        body: dict[str, object] = {
            "lastUpdated": meta.format_micro_time(now if healthy else updated),
            "currentTime": meta.format_micro_time(now),
        }
        if with_node:
            body["nodeEligible"] = eligible()
        return web.json_response(body, status=200 if healthy else 503, headers={"X-Content-Type-Options": "nosniff"})

    async def healthz(_request: web.Request) -> web.Response:
        return answer(rules_are_current(proxier, patience) and eligible(), with_node=True)

    async def livez(_request: web.Request) -> web.Response:
        return answer(rules_are_current(proxier, patience), with_node=False)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/livez", livez)
    return app


def metrics_application() -> web.Application:
    """/metrics, /healthz and /proxyMode."""

    async def mode(_request: web.Request) -> web.Response:
        return web.Response(text="nftables")

    app = application({"/healthz": Checks()})
    app.router.add_get("/proxyMode", mode)
    return app


class NodePorts:
    """The healthCheckNodePorts: one small listener a Service, opened and closed as Services come and go."""

    def __init__(self, proxier: Proxier, services: Informer) -> None:
        self._proxier = proxier
        self._services = services
        self._servers: dict[str, tuple[int, Server]] = {}
        self._wake = asyncio.Event()
        services.add_handler(self._on_service)

    def _on_service(self, _old: Object | None, _new: Object | None) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Keep the listeners until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._reconcile()
        finally:
            for _, server in self._servers.values():
                await server.__aexit__()

    async def _reconcile(self) -> None:
        wanted = {
            meta.key(each): int(port)
            for each in self._services.store
            if (port := (each.get("spec") or {}).get("healthCheckNodePort"))
        }
        for key, (port, server) in list(self._servers.items()):
            if wanted.get(key) != port:
                del self._servers[key]
                await server.__aexit__()
        for key, port in wanted.items():
            if key not in self._servers:
                server = Server(self._application(key), "0.0.0.0", port)  # noqa: S104 - load balancers are outside
                try:
                    await server.__aenter__()
                except OSError as error:
                    # One port that is taken must not stop the others; the next change of a Service tries again.
                    log.error("healthCheckNodePort %d of %s: %s", port, key, error.strerror)
                    continue
                self._servers[key] = (port, server)

    def _application(self, key: str) -> web.Application:
        namespace, name = meta.split_key(key)

        async def answer(_request: web.Request) -> web.Response:
            count = self._proxier.local_endpoints(key)
            body = {
                "service": {"namespace": namespace, "name": name},
                "localEndpoints": count,
                "serviceProxyHealthy": True,
            }
            return web.json_response(
                body,
                status=200 if count else 503,
                headers={"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": str(count)},
            )

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return app
