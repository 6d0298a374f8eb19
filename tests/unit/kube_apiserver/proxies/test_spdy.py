from __future__ import annotations

import struct
import zlib

import pytest

from keelson.kube_apiserver.proxies import spdy


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def header_block(compressor: zlib._Compress, headers: dict[bytes, bytes]) -> bytes:
    plain = struct.pack(">I", len(headers))
    for name, value in headers.items():
        plain += struct.pack(">I", len(name)) + name + struct.pack(">I", len(value)) + value
    return compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)


def test_the_dictionary_is_the_drafts() -> None:
    # What zlib calls the dictionary, and so what every SPDY/3 header block begins with.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_streams_are_opened_in_the_drafts_form() -> None:
    session = spdy.Session()
    inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)
    for expected, kind in ((1, b"error"), (3, b"stdin")):
        number, sent = session.open({"streamtype": kind.decode()})
        assert number == expected
        assert sent[:4] == b"\x80\x03\x00\x01"
        assert int.from_bytes(sent[4:8], "big") == len(sent) - 8
        assert sent[8:18] == struct.pack(">IIH", expected, 0, 0)
        block = b"\0\0\0\x01\0\0\0\x0astreamtype" + struct.pack(">I", len(kind)) + kind
        assert inflate.decompress(sent[18:]) == block


def test_data_is_framed_and_ended() -> None:
    session = spdy.Session()
    assert session.data(3, b"ab") == b"\0\0\0\x03\0\0\0\x02ab"
    assert session.data(3, b"", last=True) == b"\0\0\0\x03\x01\0\0\0"
    long = session.data(1, bytes((1 << 24) + 1), last=True)
    assert long[:8] == b"\0\0\0\x01\0\xff\xff\xff"
    assert long[8 + (1 << 24) - 1 :] == b"\0\0\0\x01\x01\0\0\x02\0\0"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_what_the_server_says_is_understood_in_any_pieces(size: int) -> None:
    compressor = zlib.compressobj(zdict=spdy.DICTIONARY)
    said = b"".join(
        (
            control(2, struct.pack(">I", 1) + header_block(compressor, {b"version": b"HTTP/1.1"})),
            control(4, b"\0\0\0\0"),
            b"\0\0\0\x03\0\0\0\x03out",
            control(6, b"\0\0\0\x02"),
            control(8, struct.pack(">I", 3) + header_block(compressor, {b"status": b"200 OK"}), flags=1),
            control(9, b"\0\0\0\x01\0\0\0\x09"),
            control(3, b"\0\0\0\x01\0\0\0\x05"),
            control(7, b"\0\0\0\0\0\0\0\0"),
        )
    )
    session = spdy.Session()
    for _ in range(2):
        session.open({"streamtype": "stdout"})
    events = [event for at in range(0, len(said), size) for event in session.feed(said[at : at + size])]
    assert events == [
        spdy.Opened(1),
        spdy.Data(3, b"out", last=False),
        spdy.Ping(control(6, b"\0\0\0\x02")),
        spdy.Data(3, b"", last=True),
        spdy.Reset(1, 5),
        spdy.Goodbye(),
    ]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">HHI", 0x8002, 6, 4) + bytes(4),
        control(1, bytes(10)),
        control(2, b"\0\0"),
        control(2, b"\0\0\0\x01" + b"no zlib"),
        control(2, b"\0\0\0\x01" + header_block(zlib.compressobj(zdict=spdy.DICTIONARY), {b"a": bytes(1 << 20)})),
    ],
    ids=["http", "version", "pushed", "short", "garbage", "bomb"],
)
def test_what_breaks_the_protocol_is_refused(said: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Session().feed(said)
