"""An upgraded connection, carried between a client and a runtime's streaming server by the real forwarding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from keelson.kubelet.serving import streams

_UPGRADE = b"POST /exec?command=cat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
_HEAD = b"\r\n\r\n"


class Runtime:
    """A streaming server that upgrades whoever comes, sends back what it gets, and leaves at "bye"."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(_HEAD))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1" + _HEAD)
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
            if data.endswith(b"bye"):
                break
        writer.close()
        self.left.set()


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """A server whose /exec this answers; its port."""
    app = web.Application()
    app.router.add_route("*", "/exec", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def passage(runtime: Runtime) -> AsyncIterator[tuple[int, list[web.StreamResponse]]]:
    """The port of a kubelet that forwards everything to the runtime, and the answers that it has given."""
    server = await asyncio.start_server(runtime.serve, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    answers: list[web.StreamResponse] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        answers.append(await streams.forward(request, f"http://127.0.0.1:{target}/exec/token?a=b"))
        return answers[-1]

    try:
        async with serving(handle) as port:
            yield port, answers
    finally:
        server.close()
        await server.wait_closed()


async def test_bytes_are_carried_until_the_runtime_leaves() -> None:
    runtime = Runtime()
    async with passage(runtime) as (port, answers):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_UPGRADE + b"Authorization: Bearer secret\r\nContent-Length: 0" + _HEAD)
        assert (await reader.readuntil(_HEAD)).startswith(b"HTTP/1.1 101 ")
        # More than any buffer holds, in both directions at once.
        large = bytes(range(256)) * 16_384
        writer.write(large)
        assert await reader.readexactly(len(large)) == large
        writer.write(b"bye")
        assert await reader.read() == b"bye"
        writer.close()
    head = runtime.heads[0].decode()
    assert head.startswith("POST /exec/token?a=b HTTP/1.1\r\n")
    assert "Upgrade: SPDY/3.1\r\n" in head
    assert "secret" not in head, "the kubelet's credentials are not the runtime's concern"
    assert len(answers) == 1


async def test_the_runtime_is_left_where_the_client_leaves() -> None:
    runtime = Runtime()
    async with passage(runtime) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_UPGRADE + b"Content-Length: 0" + _HEAD)
        await reader.readuntil(_HEAD)
        writer.close()
        async with asyncio.timeout(10):
            await runtime.left.wait()


@pytest.mark.parametrize(("headers", "status"), [({}, 400), ({"Connection": "Upgrade", "Upgrade": "x"}, 502)])
async def test_what_can_not_be_passed_on(headers: dict[str, str], status: int) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        # Nobody listens at the discard port of a test machine.
        return await streams.forward(request, "http://127.0.0.1:9/exec")

    async with (
        serving(handle) as port,
        ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/exec", headers=headers) as answer,
    ):
        assert answer.status == status
