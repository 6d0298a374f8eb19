"""SPDY/3.1 frames as a client reads and writes them. Pure: bytes in, events out.

Kubelets and container runtimes speak remote commands over SPDY, whose streams can end one by one, which WebSockets of
their time could not tell. Rule: "SPDY Protocol - Draft 3.1". As all of Kubernetes' implementations, this one leaves
flow control to TCP: nobody there keeps windows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

_VERSION = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 0x01
_MOST_DATA = (1 << 24) - 1
# Runtimes write 32 KiB at a time; a frame is kept whole in memory, so a far larger one is refused.
MOST_FRAME_BYTES = 8 * 1024 * 1024
_MOST_HEADER_BYTES = 64 * 1024

# Section 2.6.10.1: the dictionary is these words, each after its length, and then the text.
_WORDS = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
    "accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection",
    "content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5",
    "content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location",
    "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after",
    "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
    "keep-alive", "origin",
)  # fmt: skip
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(len(word).to_bytes(4, "big") + word.encode() for word in _WORDS) + _TEXT.encode()


class SpdyError(Exception):
    """The other end breaks the protocol."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The other end accepted a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; `last` where it ends with them."""

    stream: int
    payload: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The other end gave a stream up."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it is."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The other end takes no new streams."""


Event = Opened | Data | Reset | Ping | Goodbye


class Session:
    """One connection as its client sees it. Stream numbers are odd and rise; header blocks share one compression."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(zdict=DICTIONARY)
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._next_stream = 1

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Begin a stream with these headers (names in lower case): its number and the bytes to send."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        packed = self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return stream, _control(_SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + packed)

    def data(self, stream: int, payload: bytes, *, last: bool = False) -> bytes:
        """Bytes of a stream, and with `last` its end."""
        pieces = [payload[at : at + _MOST_DATA] for at in range(0, len(payload), _MOST_DATA)] or [b""]
        out = []
        for number, piece in enumerate(pieces, 1):
            flags = _FIN if last and number == len(pieces) else 0
            out.append(struct.pack(">II", stream, flags << 24 | len(piece)) + piece)
        return b"".join(out)

    def feed(self, data: bytes) -> list[Event]:
        """What the other end said. Raises SpdyError; the session is of no use afterwards."""
        self._buffer += data
        found: list[Event] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, size = second >> 24, second & 0xFFFFFF
            if not first >> 31 and (first >= self._next_stream or not first & 1):
                raise SpdyError(f"data of stream {first}, which nobody opened")
            if size > MOST_FRAME_BYTES:
                raise SpdyError(f"a frame of {size} bytes")
            if len(self._buffer) < 8 + size:
                break
            body = bytes(self._buffer[8 : 8 + size])
            del self._buffer[: 8 + size]
            if first >> 31:
                found += self._of_control(first, flags, body)
            elif size or flags & _FIN:
                found.append(Data(first, body, bool(flags & _FIN)))
        return found

    def _of_control(self, first: int, flags: int, body: bytes) -> list[Event]:
        if first >> 16 != _VERSION:
            raise SpdyError(f"version {first >> 16 & 0x7FFF} of SPDY")
        kind = first & 0xFFFF
        if kind == _SYN_STREAM:
            raise SpdyError("the server opens a stream, which remote commands know nothing of")
        if kind in (_SYN_REPLY, _RST_STREAM, _PING, _HEADERS) and len(body) < 4:
            raise SpdyError("a control frame is too short")
        number = int.from_bytes(body[:4], "big") & 0x7FFFFFFF
        match kind:
            case _ if kind in (_SYN_REPLY, _HEADERS):
                # Nothing in these headers matters, but the compression's state is shared with later ones.
                self._inflate(body[4:])
                found: list[Event] = [Opened(number)] if kind == _SYN_REPLY else []
                return [*found, Data(number, b"", last=True)] if flags & _FIN else found
            case _ if kind == _RST_STREAM:
                return [Reset(number, int.from_bytes(body[4:8], "big"))]
            case _ if kind == _PING:
                return [Ping(_control(_PING, body))]
            case _ if kind == _GOAWAY:
                return [Goodbye()]
        # SETTINGS and WINDOW_UPDATE speak of flow control; what else there is must be ignored (section 2.2.1).
        return []

    def _inflate(self, block: bytes) -> None:
        try:
            self._decompressor.decompress(block, _MOST_HEADER_BYTES)
        except zlib.error as error:
            raise SpdyError(f"headers can't be read: {error}") from error
        if self._decompressor.unconsumed_tail:
            raise SpdyError("headers are too large")


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", _VERSION, kind, len(body)) + body
