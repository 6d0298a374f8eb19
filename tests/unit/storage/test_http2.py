"""HTTP/2 as a client speaks it: what a server may do that etcd rarely does."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping

import hpack
import pytest

from keelson.storage import http2
from keelson.storage.http2 import Call, Connection, Http2Error

_BLOCK = b"\x83\x86" + http2.literal(":path", "/some.Service/Method")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


class Wire(asyncio.Transport):
    """The server's end: keeps what the client writes, as frames."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    async def frames(self) -> list[tuple[int, int, int, bytes]]:
        """(kind, flags, stream, payload) of everything since the last time."""
        # What is written is sent at the end of the event loop's turn.
        await asyncio.sleep(0)
        data, self.written = self.written.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), b""
        found = []
        while data:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", data)
            end = 9 + (high << 16) + low
            found.append((kind, flags, stream, data[9:end]))
            data = data[end:]
        return found


class Asked(Call):
    """What came of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[Mapping[str, str]] = []
        self.body = b""
        self.ended = False
        self.error: Http2Error | None = None

    def on_headers(self, headers: Mapping[str, str]) -> None:
        self.headers.append(headers)

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended = True

    def on_error(self, error: Http2Error) -> None:
        self.error = error


def _frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _settings(**values: int) -> bytes:
    names = {"most": 3, "window": 4, "frame": 5}
    return _frame(_SETTINGS, 0, b"".join(struct.pack(">HI", names[name], value) for name, value in values.items()))


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def connection(wire: Wire) -> Connection:
    made = Connection()
    made.connection_made(wire)
    await wire.frames()
    return made


async def test_an_answer_in_pieces_of_any_size(connection: Connection, wire: Wire) -> None:
    call = Asked()
    connection.begin(call, _BLOCK, b"question")
    assert [(kind, stream) for kind, _, stream, _ in await wire.frames()] == [(_HEADERS, 1), (_DATA, 1)]
    block = hpack.Encoder().encode([(":status", "200"), ("x-long", "y" * 300)], huffman=True)
    padded = bytes((3,)) + b"answer" + bytes(3)
    told = (
        _frame(_HEADERS, 1, block[:10])
        + _frame(_CONTINUATION, 1, block[10:], flags=4)
        + _frame(_DATA, 1, padded, flags=8)
        + _frame(_HEADERS, 1, hpack.Encoder().encode([("grpc-status", "0")]), flags=5)
    )
    for at in range(len(told)):
        connection.data_received(told[at : at + 1])
    assert call.ended
    assert call.body == b"answer"
    assert [each.get(":status") or each.get("grpc-status") for each in call.headers] == ["200", "0"]
    assert connection.idle


async def test_bodies_wait_for_windows_and_keep_their_order(connection: Connection, wire: Wire) -> None:
    connection.data_received(_settings(window=10, frame=16_384))
    first, second = Asked(), Asked()
    connection.begin(first, _BLOCK, b"a" * 15, last=False)
    connection.send(first, b"b" * 5, last=True)
    connection.begin(second, _BLOCK, b"c" * 4)
    sent = [(stream, payload) for kind, _, stream, payload in await wire.frames() if kind == _DATA]
    assert sent == [(1, b"a" * 10), (3, b"c" * 4)]
    connection.data_received(_frame(_WINDOW, 1, (8).to_bytes(4, "big")))
    connection.data_received(_frame(_WINDOW, 1, (100).to_bytes(4, "big")))
    rest = [(flags, payload) for kind, flags, _, payload in await wire.frames() if kind == _DATA]
    assert b"".join(payload for _, payload in rest) == b"a" * 5 + b"b" * 5
    assert [flags for flags, _ in rest] == [0] * (len(rest) - 1) + [1]


async def test_no_more_calls_at_a_time_than_the_server_takes(connection: Connection, wire: Wire) -> None:
    connection.data_received(_settings(most=1))
    await wire.frames()
    first, second = Asked(), Asked()
    connection.begin(first, _BLOCK, b"1")
    connection.begin(second, _BLOCK, b"2")
    assert [stream for kind, _, stream, _ in await wire.frames() if kind == _HEADERS] == [1]
    connection.data_received(_frame(_HEADERS, 1, hpack.Encoder().encode([("grpc-status", "0")]), flags=5))
    assert first.ended
    assert [stream for kind, _, stream, _ in await wire.frames() if kind == _HEADERS] == [3]


async def test_what_was_not_taken_in_is_told_from_what_may_have_been(connection: Connection) -> None:
    calls = [Asked() for _ in range(4)]
    for call in calls:
        connection.begin(call, _BLOCK, b"")
    connection.data_received(_frame(_RESET, 1, (7).to_bytes(4, "big")))
    connection.data_received(_frame(_GO_AWAY, 0, (5).to_bytes(4, "big") + bytes(4) + b"bye"))
    connection.connection_lost(None)
    assert [call.error.sent if call.error else None for call in calls] == [False, True, True, False]
    late = Asked()
    connection.begin(late, _BLOCK, b"")
    assert late.error is not None
    assert not late.error.sent


async def test_a_ping_is_answered_and_nonsense_ends_the_connection(connection: Connection, wire: Wire) -> None:
    connection.data_received(_frame(_PING, 0, b"12345678"))
    assert await wire.frames() == [(_PING, 1, 0, b"12345678")]
    call = Asked()
    connection.begin(call, _BLOCK, b"")
    connection.data_received(_frame(_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff", flags=4))
    assert wire.aborted
    assert call.error is not None


@pytest.mark.parametrize("size", [1, 126, 127, 128, 254, 255, 4096, 20_000])
async def test_literals_of_any_length(size: int) -> None:
    decoded = hpack.Decoder(max_header_list_size=1 << 20).decode(http2.literal("name", "v" * size))
    assert [(str(name), str(value)) for name, value in decoded] == [("name", "v" * size)]
