"""HTTP/2 (RFC 9113) as one client's calls on one connection, as far as gRPC goes and no further.

grpc.aio spends more of a write than the rest of the API server does: a thread that polls, a task and a dozen objects a
call. Here a call is one write, and its answer one callback. What makes that short:

- Requests of one method have the same header block, encoded once, since nothing of it is indexed (RFC 7541, 6.2.2).
- The server is allowed no dynamic table, so equal header blocks of answers mean the same and are decoded once.
- Windows of what is received are as large as can be and topped up rarely: whoever reads here never lets data lie.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Mapping

import hpack

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_TABLE_SIZE, _PUSH, _MOST_STREAMS, _INITIAL_WINDOW, _FRAME_SIZE = 1, 2, 3, 4, 5
_REFUSED, _CANCEL = 7, 8
_LARGEST_WINDOW = (1 << 31) - 1
_DEFAULT_WINDOW = 65_535
_LARGEST_FRAME = (1 << 24) - 1
# Windows are topped up once so much was taken out of them.
_TOP_UP = 1 << 29
# Stream numbers end at 2^31: a connection is given up long before, while others can still be opened.
_LAST_STREAM = 1 << 30
_KNOWN_BLOCKS = 256
_KEEPALIVE_SECONDS = 30.0
_KEEPALIVE_PATIENCE_SECONDS = 10.0


class Http2Error(Exception):
    """The connection or the call broke; `sent` tells whether the server may have taken the request in."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Call:
    """One request and its answer: override what is called. Each is called on the event loop and must not raise."""

    __slots__ = ("connection", "id", "received", "window")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.id = 0
        # What may still be sent, and what was received since the server was last told.
        self.window = 0
        self.received = 0

    def on_headers(self, headers: Mapping[str, str]) -> None:
        """The answer's headers, or its trailers."""

    def on_data(self, data: bytes) -> None:
        """Some of the answer's body."""

    def on_end(self) -> None:
        """The answer is complete."""

    def on_error(self, error: Http2Error) -> None:
        """There will be no (more of an) answer."""


class Connection(asyncio.Protocol):
    """A connection. `usable` says whether more calls may begin on it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._out: list[bytes] = []
        self._calls: dict[int, Call] = {}
        # Calls that wait because the server takes no more at a time, and bodies that wait for a window.
        self._backlog: deque[tuple[Call, bytes, bytes, bool]] = deque()
        self._bodies: deque[tuple[Call, bytes, bool]] = deque()
        self._next = 1
        self._most = _LARGEST_WINDOW
        self._window = self._initial = _DEFAULT_WINDOW
        self._frame = 16_384
        self._taken = 0
        self._decoder = hpack.Decoder()
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self._blocks: dict[bytes, Mapping[str, str]] = {}
        # A header block that goes on in further frames: (stream, flags of its first frame, what came of it).
        self._partial: tuple[int, int, bytes] | None = None
        self._heard = False
        self._keeper: asyncio.TimerHandle | None = None
        self.usable = True

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello: no pushes, no header table, windows without end."""
        self._transport = transport  # type: ignore[assignment]
        wanted = ((_TABLE_SIZE, 0), (_PUSH, 0), (_INITIAL_WINDOW, _LARGEST_WINDOW), (_FRAME_SIZE, _LARGEST_FRAME))
        settings = b"".join([_SETTING.pack(name, value) for name, value in wanted])
        window = (_LARGEST_WINDOW - _DEFAULT_WINDOW).to_bytes(4, "big")
        self._write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, window))
        self._keeper = self._loop.call_later(_KEEPALIVE_SECONDS, self._keep_alive)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell every call."""
        self._end(f"the connection was lost: {error or 'closed by the server'}")

    def eof_received(self) -> bool:
        """A server that says no more is gone."""
        return False

    def data_received(self, data: bytes) -> None:
        """Take in the frames that are whole."""
        self._heard = True
        if self._received:
            data = self._received + data
        at, size = 0, len(data)
        try:
            while size - at >= 9:
                high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
                end = at + 9 + (high << 16) + low
                if end > size:
                    break
                self._take(kind, flags, stream & _LARGEST_WINDOW, data[at + 9 : end])
                at = end
        except (hpack.HPACKError, struct.error, IndexError, ValueError) as error:
            self._end(f"the server does not speak HTTP/2: {error or type(error).__name__}")
            return
        self._received = data[at:]

    # --- calls

    def begin(self, call: Call, block: bytes, body: bytes, *, last: bool = True) -> None:
        """Send a request: its encoded headers, and a body that is its last part unless `last` is False."""
        call.connection = self
        if not self.usable or self._transport is None:
            call.on_error(Http2Error("the connection is closed", sent=False))
        elif len(self._calls) >= self._most:
            self._backlog.append((call, block, body, last))
        else:
            self._open(call, block, body, last)

    def _open(self, call: Call, block: bytes, body: bytes, last: bool) -> None:
        call.id, self._next = self._next, self._next + 2
        if self._next > _LAST_STREAM:
            self.usable = False
        self._calls[call.id] = call
        call.window = self._initial
        head = _frame(_HEADERS, _END_HEADERS, call.id, block)
        size = len(body)
        if size <= self._window and size <= call.window and size <= self._frame and not self._bodies:
            self._window -= size
            call.window -= size
            self._write(head + _frame(_DATA, _END_STREAM if last else 0, call.id, body))
        else:
            self._write(head)
            self.send(call, body, last=last)

    def send(self, call: Call, body: bytes, *, last: bool = False) -> None:
        """Send more of a request's body, as soon as the windows let it through."""
        self._bodies.append((call, body, last))
        self._pump()

    def _pump(self) -> None:
        # Bodies that only their own call's window holds back; what the call sends later must not overtake them.
        held: list[tuple[Call, bytes, bool]] = []
        blocked: set[int] = set()
        while self._bodies and self._window > 0:
            call, body, last = self._bodies.popleft()
            if call.id not in self._calls:
                continue
            if call.id not in blocked:
                body = self._send_some(call, body, last)
            if body:
                blocked.add(call.id)
                held.append((call, body, last))
        self._bodies.extendleft(reversed(held))

    def _send_some(self, call: Call, body: bytes, last: bool) -> bytes:
        """Send as much of a body as the windows allow; what is left of it."""
        while body and (room := min(self._window, call.window, self._frame)) > 0:
            piece, body = body[:room], body[room:]
            self._window -= len(piece)
            call.window -= len(piece)
            self._write(_frame(_DATA, _END_STREAM if last and not body else 0, call.id, piece))
        return body

    def cancel(self, call: Call) -> None:
        """Want no (more of an) answer."""
        if self._calls.pop(call.id, None) is not None:
            self._write(_frame(_RESET, 0, call.id, _CANCEL.to_bytes(4, "big")))
            self._admit()
        else:
            self._backlog = deque(entry for entry in self._backlog if entry[0] is not call)

    def close(self) -> None:
        """Close the connection; calls under way fail."""
        self._end("the connection was closed")

    @property
    def idle(self) -> bool:
        """Whether no call is under way."""
        return not self._calls and not self._backlog

    def _admit(self) -> None:
        while self._backlog and len(self._calls) < self._most and self.usable:
            self._open(*self._backlog.popleft())
        if not self.usable and self.idle:
            self.close()

    def _write(self, data: bytes) -> None:
        """Send soon. What is written in one turn of the event loop goes out in one piece: a send costs a wake-up."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.write(b"".join(out))

    def _end(self, why: str) -> None:
        self.usable = False
        if self._keeper is not None:
            self._keeper.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        calls, self._calls = list(self._calls.values()), {}
        backlog, self._backlog = list(self._backlog), deque()
        self._bodies.clear()
        for call in calls:
            call.on_error(Http2Error(why, sent=True))
        for call, *_ in backlog:
            call.on_error(Http2Error(why, sent=False))

    def _keep_alive(self) -> None:
        """A connection on which somebody waits is asked for a sign of life where it gave none."""
        if self._heard or not self._calls:
            self._heard = False
            self._keeper = self._loop.call_later(_KEEPALIVE_SECONDS, self._keep_alive)
            return
        self._write(_frame(_PING, 0, 0, bytes(8)))
        self._keeper = self._loop.call_later(_KEEPALIVE_PATIENCE_SECONDS, self._judge)

    def _judge(self) -> None:
        if self._heard:
            self._keep_alive()
        else:
            self._end("the server gave no sign of life")

    # --- frames

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._partial is not None and kind != _CONTINUATION:
            raise ValueError("a header block was interrupted")
        if kind == _DATA:
            self._take_data(flags, stream, payload)
        elif kind == _HEADERS:
            payload = _unpadded(flags, payload)
            if flags & _PRIORITY:
                payload = payload[5:]
            self._take_headers(flags, stream, payload)
        elif kind == _CONTINUATION:
            if self._partial is None or self._partial[0] != stream:
                raise ValueError("a continuation of nothing")
            _, first, begun = self._partial
            self._take_headers(first | flags, stream, begun + payload)
        elif kind == _RESET:
            call = self._calls.pop(stream, None)
            if call is not None:
                code = int.from_bytes(payload, "big")
                call.on_error(Http2Error(f"the server reset the call ({code})", sent=code != _REFUSED))
                self._admit()
        elif kind == _SETTINGS:
            if not flags & _ACK:
                self._apply(payload)
        elif kind == _PING:
            if not flags & _ACK:
                self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GO_AWAY:
            self._leave(int.from_bytes(payload[:4], "big") & _LARGEST_WINDOW, payload[8:])
        elif kind == _WINDOW:
            more = int.from_bytes(payload, "big") & _LARGEST_WINDOW
            if not stream:
                self._window += more
            elif (call := self._calls.get(stream)) is not None:
                call.window += more
            if self._bodies:
                self._pump()

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._taken += size
        if self._taken >= _TOP_UP:
            self._write(_frame(_WINDOW, 0, 0, self._taken.to_bytes(4, "big")))
            self._taken = 0
        call = self._calls.get(stream)
        if call is None:
            return
        call.on_data(_unpadded(flags, payload))
        if flags & _END_STREAM:
            self._finish(call)
            return
        call.received += size
        if call.received >= _TOP_UP:
            self._write(_frame(_WINDOW, 0, stream, call.received.to_bytes(4, "big")))
            call.received = 0

    def _take_headers(self, flags: int, stream: int, block: bytes) -> None:
        if not flags & _END_HEADERS:
            self._partial = (stream, flags, block)
            return
        self._partial = None
        headers = self._blocks.get(block)
        if headers is None:
            # Decoded even where nobody waits for it: the decoder must see every block.
            headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if len(self._blocks) < _KNOWN_BLOCKS:
                self._blocks[block] = headers
        call = self._calls.get(stream)
        if call is None:
            return
        call.on_headers(headers)
        if flags & _END_STREAM:
            self._finish(call)

    def _finish(self, call: Call) -> None:
        del self._calls[call.id]
        call.on_end()
        if self._backlog or not self.usable:
            self._admit()

    def _apply(self, payload: bytes) -> None:
        for name, value in _SETTING.iter_unpack(payload):
            if name == _INITIAL_WINDOW:
                for call in self._calls.values():
                    call.window += value - self._initial
                self._initial = value
            elif name == _FRAME_SIZE:
                self._frame = value
            elif name == _MOST_STREAMS:
                self._most = value
        self._write(_frame(_SETTINGS, _ACK, 0, b""))
        self._admit()
        self._pump()

    def _leave(self, last: int, reason: bytes) -> None:
        """The server goes away: it has taken in no call above `last`."""
        self.usable = False
        why = f"the server goes away {reason.decode('latin-1')}".rstrip()
        for call in [call for number, call in self._calls.items() if number > last]:
            del self._calls[call.id]
            call.on_error(Http2Error(why, sent=False))
        backlog, self._backlog = list(self._backlog), deque()
        for call, *_ in backlog:
            call.on_error(Http2Error(why, sent=False))
        if self.idle:
            self.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload


def literal(name: str, value: str) -> bytes:
    """A header that is never indexed (RFC 7541, 6.2.2), for blocks that are made once and sent often."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    raw = text.encode("ascii")
    size = len(raw)
    if size < 127:
        return bytes((size,)) + raw
    # Integers beyond the prefix go on in groups of seven bits (RFC 7541, 5.1).
    size -= 127
    encoded = bytearray(b"\x7f")
    while size >= 128:
        encoded.append(size % 128 + 128)
        size //= 128
    encoded.append(size)
    return bytes(encoded) + raw
