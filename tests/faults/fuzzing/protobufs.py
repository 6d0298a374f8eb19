"""Bodies in protobuf, changed at the level of the wire: whole messages with a field of a wrong kind, number or size."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import DRY, Case, corrupted
from tests.faults.fuzzing.seeds import CUSTOM

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _BEGIN, _END, _FIXED32 = range(6)
_NUMBERS = some.sampled_from([0, 1, 127, 128, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])


def varint(value: int) -> bytes:
    """A number of up to 64 bits."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A field with bytes, text or a message in it."""
    return varint(number << 3 | _BYTES) + varint(len(payload)) + payload


class Field(NamedTuple):
    """One field; `value` is a number where it is of a kind that has one."""

    number: int
    kind: int
    value: int | bytes


def fields(data: bytes) -> list[Field] | None:
    """The fields of a message; None where the bytes are none."""
    found: list[Field] = []
    at = 0

    def number() -> int | None:
        nonlocal at
        value = shift = 0
        while at < len(data) and shift < 64:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
        return None

    while at < len(data):
        key = number()
        if key is None or not key >> 3:
            return None
        kind = key & 7
        if kind == _VARINT:
            value = number()
            if value is None:
                return None
            found.append(Field(key >> 3, kind, value))
            continue
        size = {_FIXED64: 8, _FIXED32: 4, _BYTES: number() if kind == _BYTES else 0}.get(kind)
        if not isinstance(size, int) or kind not in (_FIXED64, _FIXED32, _BYTES) or at + size > len(data):
            return None
        found.append(Field(key >> 3, kind, data[at : at + size]))
        at += size
    return found


def encoded(found: list[Field]) -> bytes:
    """The message of these fields."""
    out = b""
    for each in found:
        out += varint(each.number << 3 | each.kind)
        if isinstance(each.value, int):
            out += varint(each.value)
        else:
            out += (varint(len(each.value)) if each.kind == _BYTES else b"") + each.value
    return out


@some.composite
def spoiled(draw: some.DrawFn, data: bytes, depth: int = 0) -> bytes:
    """A message with one thing wrong in it, or in a message within."""
    found = fields(data)
    if not found:
        return draw(corrupted(data))
    at = draw(some.integers(0, len(found) - 1))
    one = found[at]
    if isinstance(one.value, bytes) and one.kind == _BYTES and depth < 12 and draw(some.integers(0, 4)):
        found[at] = one._replace(value=draw(spoiled(one.value, depth + 1)))
        return encoded(found)
    match draw(some.sampled_from(["number", "kind", "value", "repeat", "remove", "unknown", "size", "wrap", "bytes"])):
        case "number":
            found[at] = one._replace(number=draw(some.integers(1, 40)))
        case "kind":
            found[at] = Field(one.number, _VARINT, draw(_NUMBERS))
        case "value" if isinstance(one.value, int):
            found[at] = one._replace(value=draw(_NUMBERS))
        case "repeat":
            found[at:at] = [one] * draw(some.sampled_from([1, 2, 500]))
        case "remove":
            del found[at]
        case "unknown":
            found.append(Field(draw(some.sampled_from([15, 99, 2**29 - 1])), _BYTES, b"x" * 10))
        case "size":
            # It says that more follows than does, or ends in the midst of a number or in a group.
            end = some.sampled_from([b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x80", b"\x0b", b"\x0c", b"\x07", b"\xff" * 11])
            return encoded(found) + draw(end)
        case "wrap":
            return field(one.number, encoded(found))
        case _:
            found[at] = Field(one.number, _BYTES, draw(some.binary(max_size=12)))
    return encoded(found)


@some.composite
def messages(draw: some.DrawFn, seeds: list[tuple[str, bytes]]) -> Case:
    """Updates; `seeds` are (path, a valid body). Its envelope (runtime.Unknown) is spoiled too."""
    path, body = draw(some.sampled_from(seeds))
    damaged = body.removeprefix(_MAGIC)
    for _ in range(draw(some.integers(1, 2))):
        damaged = draw(spoiled(damaged))
    return Case("PUT", f"{path}?{DRY}", _MAGIC + damaged, MEDIA_TYPE)


def nested(levels: int) -> Case:
    """A resource definition whose schema says `not` of `not` of `not`, so many times."""
    schema = b""
    for _ in range(levels):
        schema = field(28, schema)
    names = field(1, b"fuzzes") + field(4, b"Fuzz")
    validation = field(1, schema)
    version = field(1, b"v1") + b"\x10\x01\x18\x01" + field(4, validation)
    spec = field(1, b"fuzz.example.org") + field(3, names) + field(4, b"Cluster") + field(7, version)
    raw = field(1, field(1, b"fuzzes.fuzz.example.org")) + field(2, spec)
    kind = field(1, b"apiextensions.k8s.io/v1") + field(2, b"CustomResourceDefinition")
    return Case("POST", f"{CUSTOM}?{DRY}", _MAGIC + field(1, kind) + field(2, raw), MEDIA_TYPE)
