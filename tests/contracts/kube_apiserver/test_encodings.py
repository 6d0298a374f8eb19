"""Answers in protobuf and compressed, as they come over the wire of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from keelson.client.rest import Client
from keelson.kube_apiserver.encodings import envelopes, protobuf
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

PROTOBUF = protobuf.MEDIA_TYPE


def administrator(cluster: Cluster) -> ssl.SSLContext:
    """What an administrator connects with."""
    certificate, key = cluster.authority.issue("wire", ["system:masters"])
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    context.load_cert_chain(cluster.write("wire.crt", certificate), cluster.write("wire.key", key))
    return context


@contextlib.asynccontextmanager
async def session_of(cluster: Cluster, context: ssl.SSLContext, **how: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests whose answers are left untouched."""
    connector = aiohttp.TCPConnector(ssl=context, **how)
    async with aiohttp.ClientSession(cluster.server, connector=connector, auto_decompress=False) as found:
        yield found
        await connector.close(abort_ssl=True)


@pytest.fixture
async def session(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests of an administrator, answers untouched."""
    async with session_of(cluster, administrator(cluster)) as found:
        yield found


async def frame(answer: aiohttp.ClientResponse) -> dict[int, Any]:
    """The next event of a watch, its fields by number."""
    (size,) = struct.unpack(">I", await answer.content.readexactly(4))
    return protobuf._raw_fields(await answer.content.readexactly(size))


def cut(answer: aiohttp.ClientResponse) -> None:
    """Leave a stream that goes on; the orderly end of TLS would outlast the test."""
    assert answer.connection is not None
    assert isinstance(answer.connection.transport, asyncio.Transport)
    answer.connection.transport.abort()


async def fetch(
    session: aiohttp.ClientSession, path: str, accept: str = PROTOBUF, **how: Any
) -> tuple[int, str, bytes]:
    method = how.pop("method", "GET")
    async with session.request(method, path, headers={"Accept": accept, **how.pop("headers", {})}, **how) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_objects_written_and_read_in_protobuf(session: aiohttp.ClientSession, namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    status, media, body = await fetch(
        session, path, method="POST", data=envelopes.encode(pod), headers={"Content-Type": PROTOBUF}
    )
    assert (status, media) == (201, PROTOBUF), body
    made = protobuf.decode(body)
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    for each in (f"{path}/p", f"{path}/p/status"):
        status, media, body = await fetch(session, each)
        _, _, plain = await fetch(session, each, "application/json")
        assert (status, media) == (200, PROTOBUF)
        assert protobuf.decode(body) == orjson.loads(plain)
    status, media, body = await fetch(session, f"{path}/p?gracePeriodSeconds=0", method="DELETE")
    assert (status, protobuf.decode(body)["metadata"]["name"]) == (200, "p")


async def test_lists_in_protobuf(session: aiohttp.ClientSession, client: Client, namespace: str) -> None:
    for name in ("a", "b", "c"):
        await client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}, "data": {"k": name}})
    path = f"/api/v1/namespaces/{namespace}/configmaps?limit=2"
    status, media, body = await fetch(session, path)
    assert (status, media) == (200, PROTOBUF)
    found = protobuf.decode(body)
    plain = orjson.loads((await fetch(session, path, "application/json"))[2])
    assert [each["data"] for each in found["items"]] == [{"k": "a"}, {"k": "b"}]
    assert found["metadata"]["continue"]
    assert found["metadata"]["remainingItemCount"] == plain["metadata"]["remainingItemCount"] == 1
    accept = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    found = protobuf.decode((await fetch(session, path, accept))[2])
    assert found["kind"] == "PartialObjectMetadataList"
    assert [each["metadata"]["name"] for each in found["items"]] == ["a", "b"]


async def test_watches_in_protobuf(session: aiohttp.ClientSession, client: Client, namespace: str) -> None:
    listed = await client.list("configmaps", namespace=namespace)
    version = listed["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={version}"
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(15), session.get(path, headers={"Accept": PROTOBUF}) as answer:
        assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
        await client.create("configmaps", {"metadata": {"name": "a", "namespace": namespace}})
        await client.delete("configmaps", "a", namespace=namespace)
        for _ in range(2):
            event = await frame(answer)
            obj = protobuf.decode(protobuf._raw_fields(event[2])[1])
            seen.append((event[1].decode(), obj["metadata"]["name"]))
        cut(answer)
    assert seen == [("ADDED", "a"), ("DELETED", "a")]
    expired = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion=1"
    async with asyncio.timeout(15), session.get(expired, headers={"Accept": PROTOBUF}) as answer:
        event = await frame(answer)
        assert await answer.content.read() == b""
    assert event[1] == b"ERROR"
    assert protobuf.decode(protobuf._raw_fields(event[2])[1])["code"] == 410


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/v1/namespaces/none-such", 404, "Status"),
        ("/api/v1", 200, "APIResourceList"),
        ("/apis", 200, "APIGroupList"),
        ("/api", 200, "APIVersions"),
    ],
)
async def test_what_is_no_object_of_the_store_is_protobuf_too(
    session: aiohttp.ClientSession, path: str, status: int, kind: str
) -> None:
    found, media, body = await fetch(session, path)
    assert (found, media) == (status, PROTOBUF), body
    assert protobuf.decode(body)["kind"] == kind


async def test_reviews_in_protobuf(session: aiohttp.ClientSession) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    how: dict[str, Any] = {
        "method": "POST",
        "data": envelopes.encode(review),
        "headers": {"Content-Type": PROTOBUF},
    }
    status, media, body = await fetch(session, path, **how)
    assert (status, media) == (201, PROTOBUF), body
    assert protobuf.decode(body)["status"]["allowed"] is True


def stall(cluster: Cluster, context: ssl.SSLContext, address: str, path: str) -> ssl.SSLSocket:
    """A client at `address` that asks for something large and takes none of it."""
    plain = socket.socket()
    # Set before the window is offered: what the client's kernel would take for it counts as taken.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.bind((address, 0))
    plain.connect(("127.0.0.1", cluster.port))
    made = context.wrap_socket(plain, server_hostname="localhost")
    made.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    return made


async def test_large_answers_are_compressed_for_clients_behind_slow_lines(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    text = "0123456789abcdef" * 4096
    for name in "abcd":
        await client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}, "data": {"k": text}})
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    context, address = administrator(cluster), "127.0.0.7"
    async with session_of(cluster, context, local_addr=(address, 0)) as session:

        async def packed(accept: str) -> bytes | None:
            """The compressed list, None where it comes as it is."""
            headers = {"Accept": accept, "Accept-Encoding": "deflate, gzip"}
            async with session.get(path, headers=headers) as answer:
                body = await answer.read()
                if "Content-Encoding" not in answer.headers:
                    assert len(body) > 4 * len(text)
                    return None
                assert answer.headers["Content-Encoding"] == "gzip"
                assert answer.headers["Vary"] == "Accept-Encoding"
                return body

        assert await packed("application/json") is None
        with await asyncio.to_thread(stall, cluster, context, address, path):
            async with asyncio.timeout(20):
                while await packed("application/json") is None:
                    pass
        for accept in ("application/json", PROTOBUF, "application/yaml"):
            body = await packed(accept)
            assert body is not None
            plain = (await fetch(session, path, accept, headers={"Accept-Encoding": "identity"}))[2]
            assert len(body) < len(plain) / 10
            # Two lists may stand at two revisions.
            assert len(gzip.decompress(body)) == len(plain)
        async with session.get(f"{path}/a", headers={"Accept-Encoding": "gzip"}) as answer:
            assert "Content-Encoding" not in answer.headers
    async with session_of(cluster, context) as elsewhere:
        headers = {"Accept-Encoding": "gzip"}
        async with elsewhere.get(path, headers=headers) as answer:
            assert "Content-Encoding" not in answer.headers
