"""GETs repeated on one connection take a shorter road; nothing but their speed may show it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster


class Caller:
    """One connection, as one client with one token keeps it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = f"Host: localhost\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n"

    def request(self, path: str, more: str = "") -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self._headers}{more}\r\n".encode()

    async def answer(self) -> tuple[int, Any]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        assert any(line.startswith("x-kubernetes-pf-flowschema-uid:") for line in lines) or lines[0].split()[1] in (
            "400",
            "401",
        )
        return int(lines[0].split()[1]), orjson.loads(await self._reader.readexactly(length))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def get(self, path: str, more: str = "") -> tuple[int, Any]:
        await self.send(self.request(path, more))
        return await self.answer()


@pytest.fixture
async def caller(cluster: Cluster, client: Client, namespace: str) -> AsyncIterator[Caller]:
    """Somebody who may read the ConfigMaps of the namespace, by a Role."""
    await client.create("serviceaccounts", {"metadata": {"name": "caller", "namespace": namespace}})
    asked = {"spec": {"expirationSeconds": 3600}}
    made = await client.create("serviceaccounts", asked, namespace=namespace, name="caller", subresource="token")
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    await client.create(
        "roles.rbac.authorization.k8s.io", {"metadata": {"name": "readers", "namespace": namespace}, "rules": rules}
    )
    binding = {
        "metadata": {"name": "readers", "namespace": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": "caller", "namespace": namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "readers"},
    }
    await client.create("rolebindings.rbac.authorization.k8s.io", binding)
    for name in ("one", "two"):
        await client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}, "data": {"n": name}})
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, ssl=context, server_hostname="localhost")
    found = Caller(reader, writer, made["status"]["token"])
    # Policy reaches the authoriser by a watch.
    await _until(found, f"/api/v1/namespaces/{namespace}/configmaps/one", 200)
    yield found
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def _until(caller: Caller, path: str, code: int) -> None:
    async def answered() -> bool:
        return (await caller.get(path))[0] == code

    await waits.until(answered, f"{path}: {code}")


async def test_shows_each_write_that_was_acknowledged_before(client: Client, caller: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for turn in range(20):
        changed = await client.patch("configmaps", "one", {"data": {"n": str(turn)}}, namespace=namespace)
        code, found = await caller.get(f"{path}/one")
        assert (code, found) == (200, changed)
    code, found = await caller.get(f"{path}/two")
    assert (code, found["data"]) == (200, {"n": "two"})
    await client.delete("configmaps", "two", namespace=namespace)
    code, found = await caller.get(f"{path}/two")
    assert (code, found["reason"], found["details"]["name"]) == (404, "NotFound", "two")


async def test_answers_in_order_what_comes_in_one_piece_or_before_the_answer(caller: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = ["one", "two", "none", "one", "two"] * 2
    await caller.send(b"".join(caller.request(f"{path}/{name}") for name in names))
    assert [(await caller.answer())[0] for _ in names] == [404 if name == "none" else 200 for name in names]
    for name in names:
        await caller.send(caller.request(f"{path}/{name}"))
    told = [(await caller.answer())[1] for _ in names]
    assert [each.get("data", {}).get("n", "none") for each in told] == names


async def test_takes_no_other_request_for_one_of_its_own(caller: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert (await caller.get(f"{path}/one"))[0] == 200
    assert (await caller.get(f"{path}/one/two"))[0] in (403, 404)
    assert (await caller.get(f"{path}/../secrets/one"))[0] == 400
    assert (await caller.get(f"/api/v1/namespaces/{namespace}/secrets/one"))[0] == 403
    assert (await caller.get(path))[0] == 403
    # A body is part of its request, whatever the same headers meant before.
    body = caller.request(f"{path}/two")
    for _ in range(2):
        await caller.send(caller.request(f"{path}/one", f"Content-Length: {len(body)}\r\n") + body)
        assert (await caller.answer())[1]["data"] == {"n": "one"}
    assert (await caller.get(f"{path}/two"))[1]["data"] == {"n": "two"}


@pytest.mark.parametrize(
    ("resource", "name", "code"),
    [("rolebindings.rbac.authorization.k8s.io", "readers", 403), ("serviceaccounts", "caller", 401)],
)
async def test_ends_with_the_permission_and_with_the_account(
    client: Client, caller: Caller, namespace: str, resource: str, name: str, code: int
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    assert (await caller.get(path))[0] == 200
    await client.delete(resource, name, namespace=namespace)
    await _until(caller, path, code)


async def test_a_rule_for_one_name_is_none_for_another(client: Client, caller: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["one"]}]
    await client.patch("roles.rbac.authorization.k8s.io", "readers", {"rules": rules}, namespace=namespace)
    await _until(caller, f"{path}/two", 403)
    for _ in range(3):
        assert (await caller.get(f"{path}/one"))[0] == 200
        assert (await caller.get(f"{path}/two"))[0] == 403


async def test_requests_are_counted(client: Client, caller: Caller, namespace: str) -> None:
    async def counted() -> float:
        text = (await client.request("GET", "/metrics")).decode()
        wanted = ('code="200"', 'group=""', 'resource="configmaps"', 'scope="resource"', 'verb="GET"')
        lines = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
        found = [line for line in lines if all(label in line for label in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    before = await counted()
    for _ in range(10):
        await caller.get(f"/api/v1/namespaces/{namespace}/configmaps/one")
    assert await counted() == before + 10
