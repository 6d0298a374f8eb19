"""Frames of upgraded connections: what clients say in WebSockets (RFC 6455), and kubelets in SPDY/3.1."""

from __future__ import annotations

import struct
import zlib

from hypothesis import strategies as some

from keelson.kube_apiserver.proxies.spdy import DICTIONARY
from tests.faults.fuzzing.requests import corrupted

_SIZES = some.sampled_from([0, 1, 125, 126, 127, 65535, 65536])
_CLAIMED = some.sampled_from([2**16 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])


@some.composite
def websocket_frames(draw: some.DrawFn) -> bytes:
    """Frames in and out of order, whole and not, of sizes that are true and not; cut anywhere."""
    out = b""
    for _ in range(draw(some.integers(1, 6))):
        first = draw(some.sampled_from([0x80, 0, 0x80, 0xC0])) | draw(some.sampled_from([0, 1, 2, 2, 3, 8, 9, 10, 15]))
        payload = draw(some.sampled_from([b"\0", b"\4{}", b"\xff\1", b"\3\xe8", b"\xc3\x28"])) * draw(
            some.integers(0, 3)
        )
        payload += b"x" * draw(_SIZES)
        size, wide = len(payload), b""
        if draw(some.integers(0, 5)) == 0:
            size, wide = 127, struct.pack(">Q", draw(_CLAIMED))
        elif size > 65535:
            size, wide = 127, struct.pack(">Q", size)
        elif size > 125:
            size, wide = 126, struct.pack(">H", size)
        masked = draw(some.sampled_from([0x80, 0x80, 0x80, 0]))
        out += bytes((first, masked | size)) + wide + (b"\1\2\3\4" if masked else b"") + payload
    return draw(corrupted(out))


@some.composite
def spdy_frames(draw: some.DrawFn) -> bytes:
    """Control and data frames of streams that are open and that are not, with headers of any kind and size."""
    out = b""
    packer = zlib.compressobj(zdict=DICTIONARY)
    for _ in range(draw(some.integers(1, 6))):
        number = draw(some.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]))
        flags = draw(some.sampled_from([0, 1, 2, 255]))
        if draw(some.booleans()):
            payload = b"x" * draw(_SIZES)
            claimed = draw(some.sampled_from([len(payload), len(payload), 2**24 - 1]))
            out += struct.pack(">II", number, flags << 24 | claimed) + payload
            continue
        headers = draw(some.one_of(some.binary(max_size=40), some.just(b"\0" * 100_000)))
        packed = packer.compress(headers) + packer.flush(zlib.Z_SYNC_FLUSH)
        kind = draw(some.integers(0, 11))
        body = draw(some.sampled_from([b"", b"\0", struct.pack(">I", number), struct.pack(">I", number) + packed]))
        version = draw(some.sampled_from([0x8003, 0x8003, 0x8003, 0x8002, 0xFFFF]))
        out += struct.pack(">HHI", version, kind, flags << 24 | len(body)) + body
    return draw(corrupted(out))
