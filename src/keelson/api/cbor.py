"""CBOR as Kubernetes speaks it (KEP-4222, RFC 8949): JSON values in another coat.

What has no JSON value is refused, and so is what two decoders could read differently: keys that occur twice, NaN,
infinities, integers beyond 64 bits, bignums, simple values other than false, true and null. Tags are read for what they
hold, but for those that say how bytes are to be written as text, or that a number is a time.

Our own, because the library for Python (cbor2) keeps the last of keys that occur twice without a word, and builds what
tags ask for: shared references (so values that contain themselves), regular expressions, fractions, addresses.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

PREFIX = b"\xd9\xd9\xf7"
"""The head of "self-described CBOR" (tag 55799), with which every object begins that Kubernetes writes."""

MEDIA_TYPE = "application/cbor"
SEQUENCE_MEDIA_TYPE = "application/cbor-seq"
MAX_DEPTH = 200
# More than any object of 3 MiB has, and few enough to be read in less than a second.
MAX_ITEMS = 400_000

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_STRINGS = (_BYTES, _TEXT)
_FALSE, _TRUE, _NULL = b"\xf4", b"\xf5", b"\xf6"
_INDEFINITE = 31
_BREAK = 0xFF
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOATS = {25: (struct.Struct(">e"), 2), 26: (struct.Struct(">f"), 4), 27: (struct.Struct(">d"), 8)}


class CborError(ValueError):
    """Bytes that are no value."""


# --- writing


def dumps(value: Any) -> bytes:
    """A whole value, with the prefix. Raises TypeError for what is no JSON value."""
    return PREFIX + encode(value)


def encode(value: Any) -> bytes:
    """A value as part of another. Strings are byte strings, as upstream writes them: nobody has to prove them UTF-8."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def head(major: int, argument: int) -> bytes:
    """The head of an item: its major type and length or value."""
    first = major << 5
    if argument < 24:
        return bytes((first | argument,))
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes((first | extra,)) + argument.to_bytes(size, "big")
    raise TypeError(f"{argument} has more than 64 bits")


def array_head(size: int) -> bytes:
    """What begins an array of so many items."""
    return head(_ARRAY, size)


def map_head(size: int) -> bytes:
    """What begins a map of so many pairs."""
    return head(_MAP, size)


def _write(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        raw = value.encode()
        parts.append(head(_BYTES, len(raw)) + raw)
    elif kind is dict:
        parts.append(head(_MAP, len(value)))
        for key, each in value.items():
            _write(key, parts)
            _write(each, parts)
    elif kind is list or kind is tuple:
        parts.append(head(_ARRAY, len(value)))
        for each in value:
            _write(each, parts)
    elif value is None:
        parts.append(_NULL)
    elif kind is bool:
        parts.append(_TRUE if value else _FALSE)
    elif kind is int:
        parts.append(head(_UNSIGNED, value) if value >= 0 else head(_NEGATIVE, -1 - value))
    elif kind is float and math.isfinite(value):
        parts.append(_shortest(value))
    else:
        raise TypeError(f"{value!r} has no form in CBOR")


def _shortest(value: float) -> bytes:
    """The smallest float that holds the value (RFC 8949, 4.2.1)."""
    for extra, (form, _) in _FLOATS.items():
        try:
            raw = form.pack(value)
        except OverflowError:
            continue
        if form.unpack(raw)[0] == value:
            return bytes((_OTHER << 5 | extra,)) + raw
    raise AssertionError("a double holds every float")


# --- reading


def loads(data: bytes) -> Any:
    """The one value that the bytes are. Raises CborError."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise CborError(f"{len(data) - reader.at} bytes of extraneous data starting at index {reader.at}")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self._items = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CborError("exceeded max depth")
        self._items += 1
        if self._items > MAX_ITEMS:
            raise CborError(f"exceeded max number of items {MAX_ITEMS}")
        major, extra = self._first()
        if major == _OTHER:
            return self._other(extra)
        if major == _UNSIGNED:
            return self._integer(self._argument(extra))
        if major == _NEGATIVE:
            return -1 - self._integer(self._argument(extra))
        if major in _STRINGS:
            return _text(self._string(major, extra))
        if major == _ARRAY:
            return self._array(extra, depth + 1)
        if major == _MAP:
            return self._map(extra, depth + 1)
        return self._tagged(self._argument(extra), depth + 1)

    def _first(self) -> tuple[int, int]:
        if self.at >= len(self._data):
            raise CborError("unexpected EOF")
        first = self._data[self.at]
        self.at += 1
        return first >> 5, first & 31

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise CborError("unexpected EOF")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _argument(self, extra: int) -> int:
        if extra < 24:
            return extra
        if extra > 27:
            raise CborError(f"invalid additional information {extra}")
        return int.from_bytes(self._take(1 << (extra - 24)), "big")

    @staticmethod
    def _integer(argument: int) -> int:
        if argument >= 1 << 63:
            raise CborError(f"{argument} overflows Go's int64")
        return argument

    def _other(self, extra: int) -> Any:
        if extra in (20, 21):
            return extra == 21
        if extra == 22:
            return None
        found = _FLOATS.get(extra)
        if found is None:
            raise CborError(f"simple value {extra} is not recognized")
        form, size = found
        number: float = form.unpack(self._take(size))[0]
        if not math.isfinite(number):
            raise CborError("NaN and infinities have no JSON value")
        return number

    def _string(self, major: int, extra: int) -> bytes:
        if extra != _INDEFINITE:
            return self._take(self._argument(extra))
        chunks: list[bytes] = []
        while not self._ended():
            inner, size = self._first()
            if inner != major or size == _INDEFINITE:
                raise CborError("wrong element type in an indefinite-length string")
            chunks.append(self._take(self._argument(size)))
        return b"".join(chunks)

    def _ended(self) -> bool:
        """Whether an item of indefinite length ends here; takes its end."""
        if self.at < len(self._data) and self._data[self.at] == _BREAK:
            self.at += 1
            return True
        return False

    def _array(self, extra: int, depth: int) -> list[Any]:
        if extra == _INDEFINITE:
            found = []
            while not self._ended():
                found.append(self.value(depth))
            return found
        # The length is a claim: no room is made for it before the items are there.
        return [self.value(depth) for _ in range(self._argument(extra))]

    def _map(self, extra: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        left = -1 if extra == _INDEFINITE else self._argument(extra)
        while left:
            if left < 0 and self._ended():
                break
            left -= 1
            major, size = self._first()
            if major not in _STRINGS:
                raise CborError("a map's key must be a string")
            key = _text(self._string(major, size))
            if key in found:
                raise CborError(f'found duplicate map key "{key}"')
            found[key] = self.value(depth)
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        if tag in (2, 3):
            raise CborError("bignums are not accepted")
        if tag in _WRITTEN and self.at < len(self._data) and self._data[self.at] >> 5 == _BYTES:
            major, extra = self._first()
            return _WRITTEN[tag](self._string(major, extra))
        value = self.value(depth)
        if tag == 0 and not isinstance(value, str):
            raise CborError("a time of tag 0 must be a string")
        return _moment(value) if tag == 1 else value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CborError("invalid UTF-8 string") from error


def _moment(seconds: Any) -> str:
    """Seconds since 1970 in RFC 3339 (RFC 8949, 3.4.2)."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise CborError("a time of tag 1 must be a number")
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise CborError("a time that no calendar knows") from error
    return moment.isoformat().removesuffix("+00:00").rstrip("0" if moment.microsecond else "") + "Z"


# Bytes that are to be written as text in these ways (RFC 8949, 3.4.5.2).
_WRITTEN: dict[int, Callable[[bytes], str]] = {
    21: lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    22: lambda raw: base64.b64encode(raw).decode(),
    23: lambda raw: raw.hex(),
}
