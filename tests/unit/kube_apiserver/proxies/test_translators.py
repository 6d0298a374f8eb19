"""Translation between real connections on loopback: the test is the client and the runtime."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keelson.component_base.wires import Wire
from keelson.kube_apiserver.proxies import websockets
from keelson.kube_apiserver.proxies.translators import RemoteCommand, tunnel

_STREAMS = ("error", "stdin", "stdout")
_ERROR, _STDIN, _STDOUT = 1, 3, 5


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Wire, Wire]]:
    """Both ends of one."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Wire] = loop.create_future()

    class Accepting(Wire):
        def adopt(self, transport: object, early: bytes = b"") -> Wire:
            accepted.set_result(self)
            return super().adopt(transport, early)

    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    _, near = await loop.create_connection(Wire, *server.sockets[0].getsockname())
    far = await accepted
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()
        server.close()
        await asyncio.gather(near.closed, far.closed)


def said(opcode: int, payload: bytes) -> bytes:
    """A client's frame; a mask of zeros leaves the payload readable."""
    assert len(payload) < 126
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    return struct.pack(">II", stream, (1 << 24 if last else 0) | len(payload)) + payload


async def read_until(wire: Wire, end: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(5):
        while end not in found:
            received = await wire.read()
            assert received, found
            found += received
    return found


async def test_channels_become_streams_and_back() -> None:
    async with connection() as (client, near), connection() as (far, runtime):
        running = asyncio.create_task(RemoteCommand(near, far, _STREAMS).run())
        await client.write(said(websockets.BINARY, b"\0hello") + said(websockets.BINARY, b"\xff\0"))
        await client.write(
            said(websockets.BINARY, b"\0after the end") + said(websockets.BINARY, b"\x01not mine to say")
        )
        await client.write(said(websockets.PING, b"?"))
        received = await read_until(runtime, data(_STDIN, b"", last=True))
        assert received.endswith(data(_STDIN, b"hello") + data(_STDIN, b"", last=True))
        assert await read_until(client, b"?") == websockets.frame(websockets.PONG, b"?")

        status = b'{"status":"Success"}'
        await runtime.write(data(_STDOUT, b"out") + data(_ERROR, status))
        await runtime.write(data(_STDOUT, b"", last=True) + data(_ERROR, b"", last=True))
        expected = websockets.frame(websockets.BINARY, b"\x01out")
        expected += websockets.frame(websockets.BINARY, b"\x03" + status) + websockets.close(websockets.NORMAL)
        assert await read_until(client, websockets.close(websockets.NORMAL)) == expected
        await client.write(said(websockets.CLOSE, b"\x03\xe8"))
        client.close()
        await asyncio.wait_for(running, 5)


async def test_a_lost_runtime_is_told_of() -> None:
    async with connection() as (client, near), connection() as (far, runtime):
        running = asyncio.create_task(RemoteCommand(near, far, _STREAMS).run())
        await read_until(runtime, b"\x80\x03\0\x01")
        await runtime.write(data(_STDOUT, b"half"))
        runtime.close()
        received = await read_until(client, websockets.close(websockets.NORMAL))
        client.close()
        await asyncio.wait_for(running, 5)
    told = received[received.index(b"{") : received.rindex(b"}") + 1]
    assert json.loads(told)["message"] == "the connection to the kubelet ended before the command did"


async def test_a_client_that_leaves_ends_the_runtimes_connection() -> None:
    async with connection() as (client, near), connection() as (far, runtime):
        running = asyncio.create_task(RemoteCommand(near, far, _STREAMS).run())
        await read_until(runtime, b"\x80\x03\0\x01")
        client.abort()
        async with asyncio.timeout(5):
            while await runtime.read():
                pass
            await running


async def test_a_client_that_breaks_the_protocol_is_told_so() -> None:
    async with connection() as (client, near), connection() as (far, _runtime):
        running = asyncio.create_task(RemoteCommand(near, far, _STREAMS).run())
        await client.write(b"\x82\x05naked")
        received = await read_until(client, b"masked")
        assert received[2:4] == (1002).to_bytes(2, "big")
        client.close()
        await asyncio.wait_for(running, 5)


async def test_a_tunnel_carries_bytes_in_messages() -> None:
    async with connection() as (client, near), connection() as (far, runtime):
        running = asyncio.create_task(tunnel(near, far))
        await client.write(said(websockets.BINARY, b"to ") + said(websockets.BINARY, b"the pod"))
        assert await read_until(runtime, b"pod") == b"to the pod"
        await runtime.write(b"back")
        assert await read_until(client, b"back") == websockets.frame(websockets.BINARY, b"back")
        runtime.close()
        assert await read_until(client, b"\x03\xe8") == websockets.close(websockets.NORMAL)
        client.close()
        await asyncio.wait_for(running, 5)


async def test_a_slow_reader_slows_the_writer() -> None:
    async with connection() as (near, _far):
        with_room = 0

        async def write() -> None:
            nonlocal with_room
            while True:
                await near.write(bytes(1 << 20))
                with_room += 1

        writing = asyncio.create_task(write())
        # What kernel buffers and both ends hold is far below this; nobody reads.
        done, _ = await asyncio.wait([writing], timeout=0.3)
        assert not done
        assert with_room < 32
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
