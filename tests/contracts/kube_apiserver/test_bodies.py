"""A body is taken from those who may send it: who may not is answered without it, and his connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

MEBIBYTE = 1 << 20


@asynccontextmanager
async def connected(
    cluster: Cluster, tmp_path: Path, user: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, of nobody or of a user by certificate."""
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    if user:
        certificate, key = cluster.authority.issue(user, ["system:masters"] if user == "admin" else [])
        (tmp_path / "crt").write_bytes(certificate)
        (tmp_path / "key").write_bytes(key)
        context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    reader, writer = await asyncio.open_connection(cluster.address, cluster.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def head(path: str, *lines: str, length: int = MEBIBYTE) -> bytes:
    framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
    more = "".join(f"{line}\r\n" for line in lines)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n{more}\r\n".encode()


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(10):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


@pytest.mark.parametrize(
    ("user", "lines", "code"),
    [
        ("", [], 403),
        ("", ["Authorization: Bearer nonsense"], 401),
        ("nobody", [], 403),
        ("", ["Expect: 100-continue"], 403),
    ],
    ids=["anonymous", "unknown", "forbidden", "asking first"],
)
@pytest.mark.parametrize("length", [MEBIBYTE, 1 << 40, 0], ids=["long", "endless", "chunked"])
async def test_who_may_not_is_answered_before_the_body(
    cluster: Cluster, tmp_path: Path, user: str, lines: list[str], code: int, length: int
) -> None:
    async with connected(cluster, tmp_path, user) as (reader, writer):
        writer.write(head("/api/v1/namespaces/default/configmaps", *lines, length=length))
        status, headers, body = await answered(reader)
        assert status == code
        assert headers["connection"] == "close"
        assert json.loads(body)["code"] == code
        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_a_refusal_reaches_a_client_that_goes_on_sending(cluster: Cluster, tmp_path: Path) -> None:
    async with connected(cluster, tmp_path) as (reader, writer):
        writer.write(head("/api/v1/namespaces/default/configmaps"))
        for _ in range(4):
            writer.write(b"x" * 65536)
        assert (await answered(reader))[0] == 403


@pytest.mark.parametrize("size", [10, 20_000, 900_000])
async def test_bodies_that_come_late_or_in_pieces_are_taken(cluster: Cluster, tmp_path: Path, size: int) -> None:
    name = f"piecemeal-{size}"
    body = json.dumps({"metadata": {"name": name}, "data": {"a": "b" * size}}).encode()
    async with connected(cluster, tmp_path, "admin") as (reader, writer):
        path = "/api/v1/namespaces/default/configmaps"
        writer.write(head(path, "Expect: 100-continue", length=len(body)))
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        for start in range(0, len(body), 7000):
            writer.write(body[start : start + 7000])
            await writer.drain()
        status, headers, _ = await answered(reader)
        assert status == 201
        assert "connection" not in headers
        # The connection goes on, with the next request right behind the last one's body.
        again = json.dumps({"metadata": {"name": f"{name}-again"}}).encode()
        pieces = b"%x\r\n%b\r\n" % (5, again[:5]), b"%x\r\n%b\r\n0\r\n\r\n" % (len(again) - 5, again[5:])
        writer.write(head(path, length=0))
        await writer.drain()
        writer.write(pieces[0])
        await writer.drain()
        writer.write(pieces[1] + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answered(reader))[0] == 201
        assert (await answered(reader))[0] == 200


async def test_a_body_has_a_limit_also_for_those_who_may_send_it(cluster: Cluster, tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    async with connected(cluster, tmp_path, "admin") as (reader, writer):
        writer.write(head(path, length=4 * MEBIBYTE))
        status, headers, body = await answered(reader)
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body)["message"] == "Request entity too large: limit is 3145728"
    async with connected(cluster, tmp_path, "admin") as (reader, writer):
        writer.write(head(path, length=0))
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(chunk)
                await writer.drain()
        assert (await answered(reader))[0] == 413


async def test_clients_that_leave_amid_a_body_change_nothing(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    body = json.dumps({"metadata": {"name": "half"}}).encode()
    async with connected(cluster, tmp_path, "admin") as (_, writer):
        writer.write(head("/api/v1/namespaces/default/configmaps", length=len(body)))
        await writer.drain()
        writer.write(body[:-1])
        await writer.drain()
    names = {each["metadata"]["name"] for each in (await client.list("configmaps", namespace="default"))["items"]}
    assert "half" not in names
