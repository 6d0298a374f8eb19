"""What the API server passes on, and to whom: kubelets, pods and endpoints that are not what they should be.

The server is a real one. The kubelets are the tests' own, because no honest one answers like this.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from keelson.api import errors
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Authority, Cluster

_MOVED = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n"
_UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n"
)
_WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {}\r\n"
)


class Rogue:
    """A kubelet that answers every request alike and keeps what it heard, one entry a connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.heard: list[bytearray] = []
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            heard += await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            while data := await reader.read(65536):
                heard += data
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext) -> AsyncIterator[Rogue]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            async with asyncio.timeout(20):
                await asyncio.gather(*self._tasks)


def serving_context(cluster: Cluster, authority: Authority) -> ssl.SSLContext:
    certificate, key = authority.issue("system:node:rogue", addresses=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cluster.write("rogue.crt", certificate), cluster.write("rogue.key", key))
    return context


async def place(client: Client, namespace: str, port: int, *, address: str = "127.0.0.1") -> None:
    """A node of the namespace's name at this port, and a pod `web` on it."""
    node = await client.create("nodes", {"metadata": {"name": namespace}})
    node["status"] = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await client.update_status("nodes", node)
    container = {"name": "main", "image": "tools", "ports": [{"containerPort": 8080}]}
    spec = {"nodeName": namespace, "containers": [container]}
    await client.create("pods", {"metadata": {"name": "web", "namespace": namespace}, "spec": spec})


async def say(cluster: Cluster, request: str, more: bytes = b"", *, user: str = "", groups: str = "") -> bytes:
    """The answer to a request, and to what is said after its answer began, until the server closes."""
    certificate, key = cluster.authority.issue(user or "admin", [groups or "system:masters"])
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    context.load_cert_chain(cluster.write("say.crt", certificate), cluster.write("say.key", key))
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, ssl=context, server_hostname="localhost")
    try:
        async with asyncio.timeout(20):
            writer.write(request.encode())
            answer = await reader.read(65536)
            with contextlib.suppress(ConnectionError):
                writer.write(more)
                answer += await reader.read()
            return answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def exec_request(namespace: str, headers: str = _UPGRADE, method: str = "POST") -> str:
    path = f"/api/v1/namespaces/{namespace}/pods/web/exec?command=id&stdout=true"
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_MOVED, b"500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"500"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", b"404"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", b"500"),
        (b"nonsense\r\n\r\n", b"500"),
    ],
    ids=["redirect", "success", "not-found", "forbidden", "nonsense"],
)
@pytest.mark.parametrize("headers", [_UPGRADE, _WEBSOCKET.format("v5.channel.k8s.io")], ids=["spdy", "websocket"])
async def test_a_failed_upgrade_leaves_no_connection_behind(
    cluster: Cluster, client: Client, namespace: str, answer: bytes, code: bytes, headers: str
) -> None:
    """CVE-2018-1002105: nobody may go on speaking to the kubelet with the API server's certificate."""
    method = "GET" if headers is not _UPGRADE else "POST"
    async with Rogue(answer).serving(serving_context(cluster, cluster.authority)) as rogue:
        await place(client, namespace, rogue.port)
        smuggled = b"GET /runningpods/ HTTP/1.1\r\nHost: kubelet\r\n\r\n"
        said = await say(cluster, exec_request(namespace, headers, method), smuggled)
    assert said.startswith(b"HTTP/1.1 " + code)
    assert said.count(b"HTTP/1.1 ") == 1
    assert len(rogue.heard) == 1
    assert b"runningpods" not in rogue.heard[0]


async def test_a_kubelets_redirect_is_not_followed(cluster: Cluster, client: Client, namespace: str) -> None:
    async with Rogue(_MOVED).serving(serving_context(cluster, cluster.authority)) as rogue:
        await place(client, namespace, rogue.port)
        request = f"GET /api/v1/namespaces/{namespace}/pods/web/log HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        said = await say(cluster, request)
    assert said.startswith(b"HTTP/1.1 500")
    assert b"unexpected answer 302" in said


@pytest.mark.parametrize(
    ("protocol", "told"), [("binary.k8s.io", b"\x82\x08one\ntwo\n"), ("base64.binary.k8s.io", b"\x81\x0cb25lCnR3bwo=")]
)
async def test_a_log_comes_over_a_websocket(
    cluster: Cluster, client: Client, namespace: str, protocol: str, told: bytes
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\none\ntwo\n"
    async with Rogue(answer).serving(serving_context(cluster, cluster.authority)) as rogue:
        await place(client, namespace, rogue.port)
        path = f"/api/v1/namespaces/{namespace}/pods/web/log"
        said = await say(cluster, f"GET {path} HTTP/1.1\r\nHost: x\r\n{_WEBSOCKET.format(protocol)}\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert f"Sec-WebSocket-Protocol: {protocol}".encode() in head
    # The log, and a close that says that this was all.
    assert body == told + b"\x88\x02\x03\xe8"


async def test_a_kubelet_of_another_authority_gets_nothing(cluster: Cluster, client: Client, namespace: str) -> None:
    context = serving_context(cluster, Authority("other"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve() -> bytes:
            accepted, _ = listening.accept()
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    return connection.recv(65536)
            except (ssl.SSLError, ConnectionError):
                return b""

        serving = asyncio.create_task(asyncio.to_thread(serve))
        await place(client, namespace, listening.getsockname()[1])
        said = await say(cluster, exec_request(namespace))
        assert await serving == b""
    assert said.startswith(b"HTTP/1.1 500")
    assert b"error dialing backend" in said
    assert b"certificate" in said


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0", "localhost"])
async def test_nothing_is_proxied_to_the_server_itself(client: Client, namespace: str, address: str) -> None:
    """CVE-2022-3294."""
    await place(client, namespace, 10250, address=address)
    with pytest.raises(errors.StatusError, match="address not allowed") as refused:
        await client.request("GET", f"/api/v1/nodes/{namespace}/proxy/healthz")
    assert refused.value.code == 400


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
async def test_a_pod_may_not_claim_to_be_the_server(client: Client, namespace: str, address: str) -> None:
    await place(client, namespace, 10250)
    pod = await client.get("pods", "web", namespace=namespace)
    pod["status"] = {**pod["status"], "podIP": address, "podIPs": [{"ip": address}]}
    await client.update_status("pods", pod)
    with pytest.raises(errors.StatusError, match="address not allowed"):
        await client.request("GET", f"/api/v1/namespaces/{namespace}/pods/web/proxy/")


async def test_reading_rights_do_not_open_a_shell(cluster: Cluster, client: Client, namespace: str) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
    metadata = {"name": "reader", "namespace": namespace}
    await client.create("roles.rbac.authorization.k8s.io", {"metadata": metadata, "rules": rules})
    binding = {
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}],
    }
    await client.create("rolebindings.rbac.authorization.k8s.io", binding)
    await place(client, namespace, 10250)
    config = kubeconfigs.load(cluster.kubeconfig("reader", ["people"]))
    async with Client(config, user_agent="suite") as reader:
        with pytest.raises(errors.StatusError, match='cannot create resource "pods/exec"'):
            await reader.request("GET", f"/api/v1/namespaces/{namespace}/pods/web/exec?command=id&stdout=true")


async def test_sentences_for_what_cannot_be(client: Client, namespace: str) -> None:
    two = {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}
    await client.create("pods", {"metadata": {"name": "two", "namespace": namespace}, "spec": two})
    base = f"/api/v1/namespaces/{namespace}/pods/two"
    with pytest.raises(errors.StatusError, match=r"a container name must be specified for pod two, .*: \[a b\]"):
        await client.request("GET", f"{base}/log")
    with pytest.raises(errors.StatusError, match="container c is not valid for pod two"):
        await client.request("GET", f"{base}/log?container=c")
    with pytest.raises(errors.StatusError, match="pod two does not have a host assigned"):
        await client.request("POST", f"{base}/exec?container=a&command=id&stdout=true")
    with pytest.raises(errors.StatusError, match="at most one of") as refused:
        await client.request("GET", f"{base}/log?container=a&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z")
    assert refused.value.code == 422
    await place(client, namespace, 10250)
    with pytest.raises(errors.StatusError, match="Upgrade request required"):
        await client.request("POST", f"/api/v1/namespaces/{namespace}/pods/web/exec?command=id&stdout=true")
