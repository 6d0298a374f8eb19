"""The client against servers of the test's own on loopback: real sockets, deliberate answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from keelson.kube_apiserver.proxies.backends import AddressError, Backend, BackendError, Target


class Server:
    """Answers the first request on each connection with fixed bytes, then closes."""

    def __init__(self) -> None:
        self.answer = b""
        self.heard = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in self.heard.lower():
            self.heard += await reader.readuntil(b"0\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def connect(self) -> Backend:
        return await Backend.connect(Target("127.0.0.1", self.port, None, lambda _address: True), 5)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = listening.sockets[0].getsockname()[1]
    yield found
    listening.close()
    await listening.wait_closed()


async def get(server: Server, answer: bytes, method: str = "GET") -> tuple[int, bytes]:
    server.answer = answer
    backend = await server.connect()
    try:
        head = await backend.send(method, "/", [("Host", "x")], seconds=5)
        return head.status, b"".join([chunk async for chunk in backend.chunks()])
    finally:
        backend.close()


@pytest.mark.parametrize(
    ("answer", "method", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", (200, b"abc")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "GET", (200, b"abc")),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", "GET", (200, b"to the end")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\na", "POST", (201, b"a")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", "HEAD", (200, b"")),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\n\r\n", "GET", (304, b"")),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "GET", (302, b"")),
    ],
    ids=["length", "chunks", "until-close", "interim", "head", "not-modified", "redirect"],
)
async def test_answers(server: Server, answer: bytes, method: str, expected: tuple[int, bytes]) -> None:
    assert await get(server, answer, method) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "half-a-head", "garbage", "short", "half-a-chunk", "long-head"],
)
async def test_a_part_is_not_taken_for_the_whole(server: Server, answer: bytes) -> None:
    with pytest.raises(BackendError):
        await get(server, answer)


async def test_a_body_is_sent_in_chunks(server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    server.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    backend = await server.connect()
    await backend.send("PUT", "/", [("Host", "x")], pieces(), seconds=5)
    backend.close()
    assert server.heard.endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_what_follows_an_upgrade_is_not_lost(server: Server) -> None:
    server.answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nfirst bytes"
    backend = await server.connect()
    head = await backend.send("POST", "/", [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")], seconds=5)
    wire = backend.upgraded()
    assert head.status == 101
    assert head.header("upgrade") == "SPDY/3.1"
    assert await wire.read() == b"first bytes"
    assert await wire.read() == b""
    wire.abort()


async def test_an_address_is_judged_after_its_name_is_resolved(server: Server) -> None:
    refused = Target("localhost", server.port, None, lambda address: address not in {"127.0.0.1", "::1"})
    with pytest.raises(AddressError, match="address not allowed"):
        await Backend.connect(refused, 5)
    with pytest.raises(BackendError, match=r"lookup nowhere\.invalid"):
        await Backend.connect(Target("nowhere.invalid", 80, None, lambda _address: True), 5)


async def test_a_port_that_nobody_serves(server: Server) -> None:
    with pytest.raises(BackendError, match=r"dial tcp 127\.0\.0\.1:1:"):
        await Backend.connect(Target("127.0.0.1", 1, None, lambda _address: True), 5)
