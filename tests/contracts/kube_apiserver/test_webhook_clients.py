"""The HTTPS client of webhooks against a real server: what it trusts, what it refuses, how long it waits."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from keelson.client.kubeconfigs import ClientConfig
from keelson.kube_apiserver.services.resolvers import Place, ResolveError, cluster_place
from keelson.kube_apiserver.webhooks.clients import CallError, Clients
from keelson.kube_apiserver.webhooks.credentials import Credentials
from tests.contracts.kube_apiserver.api_servers import Authority
from tests.contracts.kube_apiserver.webhook_servers import WebhookServer


class _Services:
    """One service, wherever it is."""

    def __init__(self, place: Place | None) -> None:
        self.place = place

    async def resolve(self, namespace: str, name: str, port: int) -> Place:
        if self.place is None:
            raise ResolveError(f'service "{name}" not found')
        return self.place


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    async with WebhookServer(tmp_path, names=("localhost", "hook.team.svc")) as found:
        found.raw["/echo"] = _echo
        found.raw["/moved"] = _moved
        found.raw["/broken"] = _broken
        found.raw["/hang"] = found.hang
        yield found


async def _echo(request: web.BaseRequest) -> web.Response:
    host = request.headers["Host"]
    return web.Response(body=(f"{request.method} {request.path_qs} {host} ").encode() + await request.read())


async def _moved(_request: web.BaseRequest) -> web.Response:
    return web.Response(status=307, headers={"Location": "/echo"})


async def _broken(_request: web.BaseRequest) -> web.Response:
    return web.Response(status=500, text="out of order")


@pytest.fixture
async def clients(server: WebhookServer) -> AsyncIterator[Clients]:
    found = Clients(_Services(Place("127.0.0.1", server.port)))  # type: ignore[arg-type]
    yield found
    await found.close()


async def test_a_url_is_posted_to_and_told_the_timeout(server: WebhookServer, clients: Clients) -> None:
    answer = await clients.call(server.config("/echo"), b"{}", 9.5, tell_timeout=True)
    assert answer == f"POST /echo?timeout=10s 127.0.0.1:{server.port} {{}}".encode()


async def test_a_service_is_verified_under_its_own_name(server: WebhookServer, clients: Clients) -> None:
    service = {"namespace": "team", "name": "hook", "path": "/echo", "port": 8443}
    answer = await clients.call({"service": service, "caBundle": server.bundle}, b"{}", 5)
    assert answer == b"POST /echo hook.team.svc:8443 {}"
    other = {"namespace": "team", "name": "other", "path": "echo"}
    with pytest.raises(CallError, match=r'Post "https://other.team.svc:443/echo": tls: failed to verify certificate'):
        await clients.call({"service": other, "caBundle": server.bundle}, b"{}", 5)


async def test_a_service_that_is_not_there_is_told(server: WebhookServer) -> None:
    clients = Clients(_Services(None))  # type: ignore[arg-type]
    with pytest.raises(CallError, match=r'Post "https://hook.team.svc:443/": service "hook" not found'):
        await clients.call({"service": {"namespace": "team", "name": "hook"}, "caBundle": server.bundle}, b"{}", 5)


async def test_a_connection_serves_many_calls(server: WebhookServer, clients: Clients) -> None:
    for _ in range(5):
        await clients.call(server.config("/echo"), b"{}", 5)
    assert len(server.connections) == 1


async def test_an_unknown_authority_is_refused(server: WebhookServer, clients: Clients) -> None:
    url = server.config("/echo")["url"]
    with pytest.raises(CallError, match="x509: certificate signed by unknown authority"):
        await clients.call({"url": url}, b"{}", 5)
    stranger = base64.b64encode(Authority("stranger").pem).decode()
    with pytest.raises(CallError, match="x509: certificate signed by unknown authority"):
        await clients.call({"url": url, "caBundle": stranger}, b"{}", 5)


async def test_no_redirect_is_followed(server: WebhookServer, clients: Clients) -> None:
    with pytest.raises(CallError, match="redirect") as caught:
        await clients.call(server.config("/moved"), b"secret", 5)
    assert caught.value.code == 307


async def test_an_error_of_the_webhook_is_told_with_its_words(server: WebhookServer, clients: Clients) -> None:
    with pytest.raises(CallError, match=r'an error on the server \("out of order"\) has prevented') as caught:
        await clients.call(server.config("/broken"), b"{}", 5)
    assert caught.value.code == 500


async def test_a_webhook_that_hangs_is_waited_for_as_long_as_stated(server: WebhookServer, clients: Clients) -> None:
    started = time.monotonic()
    with pytest.raises(CallError, match=r"timeout=1s\": context deadline exceeded"):
        await clients.call(server.config("/hang"), b"{}", 1, tell_timeout=True)
    assert 0.95 <= time.monotonic() - started < 2.5


async def test_a_closed_port_is_told(clients: Clients, server: WebhookServer) -> None:
    port = server.port
    await server.__aexit__(None, None, None)
    with pytest.raises(CallError, match=r"connect: (connection refused|connect call failed)"):
        await clients.call({"url": f"https://127.0.0.1:{port}/", "caBundle": server.bundle}, b"{}", 5)
    await server.__aenter__()


async def test_a_proxy_of_the_environment_is_not_used(
    server: WebhookServer, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert await clients.call(server.config("/echo"), b"x", 5)


async def test_an_idle_connection_that_the_webhook_closed_is_no_failure(tmp_path: Path) -> None:
    async with WebhookServer(tmp_path) as server:
        server.raw["/close"] = _closing
        clients = Clients(_Services(None))  # type: ignore[arg-type]
        try:
            for _ in range(3):
                assert await clients.call(server.config("/close"), b"{}", 5) == b"bye"
                await asyncio.sleep(0)
        finally:
            await clients.close()


async def _closing(request: web.BaseRequest) -> web.Response:
    transport = request.transport
    assert transport is not None
    asyncio.get_running_loop().call_soon(transport.close)
    return web.Response(text="bye")


def test_services_lead_to_their_cluster_address() -> None:
    ports = [{"name": "tls", "port": 443}, {"name": "other", "port": 8443}]
    assert cluster_place({"spec": {"clusterIP": "10.0.0.9", "ports": ports}}, 8443) == Place("10.0.0.9", 8443)
    external = {"spec": {"type": "ExternalName", "externalName": "hooks.example.com"}}
    assert cluster_place(external, 443) == Place("hooks.example.com", 443)
    with pytest.raises(ResolveError, match='no service port 80 found for service "hook"'):
        cluster_place({"metadata": {"name": "hook"}, "spec": {"clusterIP": "10.0.0.9", "ports": ports}}, 80)
    with pytest.raises(ResolveError, match='cannot route to service with ClusterIP "None"'):
        cluster_place({"spec": {"clusterIP": "None", "ports": ports}}, 443)


async def test_a_webhook_that_asks_for_credentials_gets_them(tmp_path: Path) -> None:
    clients_of = Authority("clients")
    certificate, key = clients_of.issue("kube-apiserver")
    async with WebhookServer(tmp_path, clients=clients_of) as server:
        server.raw["/who"] = _who
        clients = Clients(_Services(None))  # type: ignore[arg-type]
        identity = ClientConfig(server="", certificate=certificate, key=key, token="secret")
        credentials = Credentials({f"127.0.0.1:{server.port}": identity})
        try:
            answer = await clients.call(server.config("/who"), b"{}", 5, credentials=credentials)
            assert answer == b"kube-apiserver Bearer secret"
            assert await clients.call(server.config("/who"), b"{}", 5) == b"nobody -"
        finally:
            await clients.close()


async def _who(request: web.BaseRequest) -> web.Response:
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for field, value in part if field == "commonName"]
    return web.Response(text=f"{(names or ['nobody'])[0]} {request.headers.get('Authorization', '-')}")
