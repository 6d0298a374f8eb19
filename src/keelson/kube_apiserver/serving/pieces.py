"""Parts of answers that many answers have in common, compressed once for all of them (RFC 1951, RFC 1952).

A piece is deflated by itself and ends at a byte (a full flush), so a gzip body is any sequence of pieces between a
header and a trailer. The trailer wants the checksum of the whole, which is made of the pieces' checksums: a CRC is a
remainder of polynomials over GF(2), and appending n bytes multiplies what came before by x^8n.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import NamedTuple

# No name, no time, the fastest method, Unix (RFC 1952, 2.3).
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03"
_LAST_BLOCK = b"\x03\x00"
# Below this, a block that is stored as it is costs less than it could save.
_SMALL = 256
_POLYNOMIAL = 0xEDB88320
# Level 1, as upstream: higher ones cost much more and save little on JSON. What is kept is compressed once and read
# many times, and its readers are quicker with what was compressed better (gunzip takes half the time).
_LEVEL, _KEPT_LEVEL = 1, 9


class Packed(NamedTuple):
    """A piece compressed: its blocks, its CRC-32, what the CRC of anything before it is multiplied by, its length."""

    data: bytes
    check: int
    shift: int
    size: int


class Piece(bytes):
    """Bytes whose compressed form is kept with them once somebody wanted it. Keep the object, and share it."""

    packed: Packed | None = None


def pack(raw: bytes) -> Packed:
    """The bytes as blocks of a deflate stream that is not ended."""
    if isinstance(raw, Piece) and raw.packed is not None:
        return raw.packed
    size = len(raw)
    if size <= _SMALL:
        data = b"\x00" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + raw
    else:
        packer = zlib.compressobj(level=_KEPT_LEVEL if isinstance(raw, Piece) else _LEVEL, wbits=-15)
        data = packer.compress(raw) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = Packed(data, zlib.crc32(raw), _power(size), size)
    if isinstance(raw, Piece):
        raw.packed = packed
    return packed


class Body:
    """A gzip body under way: what was packed, in its order, then the trailer."""

    def __init__(self) -> None:
        self._check = 0
        self._size = 0

    def add(self, packed: Packed) -> bytes:
        """The next bytes of the body."""
        self._check = _times(packed.shift, self._check) ^ packed.check
        self._size += packed.size
        return packed.data

    def end(self) -> bytes:
        """The last bytes of the body."""
        return _LAST_BLOCK + self._check.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")


def _times(one: int, other: int) -> int:
    """The product of two polynomials modulo the CRC's; the highest bit is x^0, as in every reflected CRC-32."""
    product, bit = 0, 1 << 31
    while bit and one & (bit | (bit - 1)):
        if one & bit:
            product ^= other
        bit >>= 1
        other = (other >> 1) ^ _POLYNOMIAL if other & 1 else other >> 1
    return product


@lru_cache(maxsize=4096)
def _power(count: int) -> int:
    """x to the power of the bits in `count` bytes."""
    result, square, exponent = 1 << 31, 1 << 30, count * 8
    while exponent:
        if exponent & 1:
            result = _times(square, result)
        square = _times(square, square)
        exponent >>= 1
    return result
