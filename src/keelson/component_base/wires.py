"""A bare connection, read and written with back pressure: what is left of HTTP after an upgrade.

The API server and the kubelet both carry such connections on to somebody else: exec, attach and port-forward.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

_HIGH_WATER = 256 * 1024
# How long the far end may take for what was written before its connection is cut.
_FLUSH_SECONDS = 30.0
_KEEP_ALIVE_SECONDS = 15


class Paced(asyncio.Protocol):
    """A connection that is written to no faster than the far end takes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._writable: asyncio.Future[None] | None = None

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def writable(self) -> None:
        """Wait until most of what was written is on its way, or the connection ended."""
        if self._writable is not None:
            await self._writable


class Wire(Paced):
    """One end of a connection. `read` gives b"" at its end, whatever ended it."""

    def __init__(self) -> None:
        super().__init__()
        self._transport: Any = None
        self._received = bytearray()
        self._ended = False
        self._changed: asyncio.Future[None] | None = None
        self._paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def adopt(self, transport: Any, early: bytes = b"") -> Wire:
        """Become the protocol of this transport, of which `early` was read already."""
        self._transport = transport
        self._received += early
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        keep_alive(transport)
        return self

    # --- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.adopt(transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _HIGH_WATER and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        # TLS knows no half-closed connections, so neither do upgraded ones.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._wake()
        self.resume_writing()
        if not self.closed.done():
            self.closed.set_result(None)

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    # --- use

    async def read(self) -> bytes:
        """What came since the last call, at least one byte; b"" at the end."""
        while not self._received and not self._ended:
            self._changed = self._loop.create_future()
            await self._changed
        data = bytes(self._received)
        self._received.clear()
        if self._paused and not self._ended and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait until most of it is on its way. Raises ConnectionResetError where the connection ended."""
        if self._ended or self._transport.is_closing():
            raise ConnectionResetError("the connection ended")
        self._transport.write(data)
        await self.writable()

    def close(self) -> None:
        """Send what was written, then end."""
        if self._transport is not None and not self._transport.is_closing():
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()


def keep_alive(transport: Any) -> None:
    """Have the kernel notice a far end that vanished: streams may be silent for hours (tcp(7))."""
    channel = transport.get_extra_info("socket")
    if channel is None or channel.family not in (socket.AF_INET, socket.AF_INET6):
        return
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_SECONDS)


async def settle(first: Wire, second: Wire, *tasks: asyncio.Task[None]) -> None:
    """Wait until the first task ends, close both wires with what they still have to send, and end the other tasks.

    A task that failed by anything but a lost connection raises here.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for wire in (first, second):
            wire.close()
        await asyncio.wait([first.closed, second.closed], timeout=_FLUSH_SECONDS)
    finally:
        for wire in (first, second):
            wire.abort()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
            raise outcome


async def copy(source: Wire, sink: Wire) -> None:
    """Carry bytes one way until the source ends."""
    while data := await source.read():
        await sink.write(data)


async def join(first: Wire, second: Wire) -> None:
    """Carry bytes both ways until either end closes; the other then gets what is left, and is closed."""
    forth = asyncio.create_task(copy(first, second))
    back = asyncio.create_task(copy(second, first))
    await settle(first, second, forth, back)
