"""Answers whose body comes in pieces: watches, logs, what is passed on, large lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connections import Connection


class Stream:
    """An answer in pieces. `send` never waits; `pending` tells how much the client has yet to take.

    Each piece is a chunk, unless the answer's headers state its length (or that there is no body) themselves.
    """

    def __init__(self, connection: Connection, *, chunked: bool = True, mute: bool = False) -> None:
        self._connection = connection
        # An answer to HEAD has no body: what stood for one would be read as the next answer.
        self._mute = mute
        self._chunked = chunked
        self.closed = False

    def send(self, data: bytes) -> None:
        """Write one chunk; nothing where the connection is gone."""
        transport = self._connection.transport
        if not self.closed and transport is not None and data and not self._mute:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    @property
    def pending(self) -> int:
        """Bytes written that the client has not taken yet."""
        transport = self._connection.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    async def drain(self) -> None:
        """Wait until the client has taken most of what was sent. Raises ConnectionError where it is gone."""
        await self._connection.drain()

    def finish(self) -> None:
        """End the answer in order."""
        transport = self._connection.transport
        if not self.closed and transport is not None and self._chunked and not self._mute:
            transport.write(b"0\r\n\r\n")
        self.closed = True

    def abort(self) -> None:
        """Cut the connection: the client can't mistake this for an end."""
        self.closed = True
        if self._connection.transport is not None:
            self._connection.transport.abort()
