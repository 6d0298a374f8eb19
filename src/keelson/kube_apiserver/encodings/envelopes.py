"""Objects, lists and watch events as Kubernetes' protobuf, made of JSON values on demand.

The counterpart of `protobuf.decode`, by the same table of field numbers. Each message gets one encoder, made when the
first value of it is encoded: a mapping from JSON name to the function that writes this field, so that encoding walks
over what an object has and never over what it could have. An absent field is not written; Go's decoders read absence
as zero. The envelope is `k8s\\0` and a runtime.Unknown; a watch stream carries meta.v1.WatchEvent messages without an
envelope, each after its length in four bytes, big-endian, with the object in its envelope within (API concepts,
"Kubernetes Protobuf encoding"). Pure.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from keelson.api import meta
from keelson.api.meta import Object
from keelson.component_base import durations

from . import protobuf

WATCH_MEDIA_TYPE = f"{protobuf.MEDIA_TYPE};stream=watch"

_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_WIRES = {"b": _VARINT, "i": _VARINT, "d": _FIXED64}
_SMALL = tuple(bytes((value,)) for value in range(0x80))

Encode = Callable[[Any], bytes]
"""From a JSON value to what follows a tag, or to a whole message."""


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(raw: bytes) -> bytes:
    return _varint(len(raw)) + raw


def _text(value: Any) -> bytes:
    raw = value.encode() if type(value) is str else str(value).encode()
    size = len(raw)
    return (_SMALL[size] if size < 0x80 else _varint(size)) + raw


def _base64(value: Any) -> bytes:
    return _sized(base64.b64decode(value))


def _boolean(value: Any) -> bytes:
    return b"\1" if value else b"\0"


def _double(value: Any) -> bytes:
    return struct.pack("<d", value)


def _integer(value: Any) -> bytes:
    return _varint(value if type(value) is int else int(value))


_SCALARS: dict[str, Encode] = {"s": _text, "y": _base64, "b": _boolean, "d": _double, "i": _integer}


# --- types that protobuf and JSON write differently


def _time(value: Any) -> bytes:
    since = meta.parse_time(value) - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    nanos = since.microseconds * 1000
    return b"\x08" + _varint(seconds) + (b"\x10" + _varint(nanos) if nanos else b"")


def _duration(value: Any) -> bytes:
    return b"\x08" + _varint(round(durations.parse(value) * 1e9))


def _quantity(value: Any) -> bytes:
    return b"\x0a" + _text(value)


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x1a" + _text(value)
    return b"\x10" + _varint(value)


def _embedded_json(value: Any) -> bytes:
    return b"\x0a" + _sized(orjson.dumps(value))


def _items(value: Any) -> bytes:
    return b"".join([b"\x0a" + _text(each) for each in value])


def _schema_or(other: str) -> Encode:
    """JSONSchemaPropsOr…: a schema, or the alternative that it stands beside."""
    schema = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

    def encode(value: Any) -> bytes:
        if isinstance(value, bool):
            return b"\x08" + _boolean(value)
        if isinstance(value, list):
            return b"".join(
                [b"\x12" + (_text(each) if other == "strings" else _nested(schema)(each)) for each in value]
            )
        # JSONSchemaPropsOrBool has the boolean first and the schema second; a schema there is allowed by being there.
        return b"\x08\x01\x12" + _nested(schema)(value) if other == "bool" else b"\x0a" + _nested(schema)(value)

    return encode


_WRITERS: dict[str, Encode] = {
    "time": _time,
    "micro time": _time,
    "duration": _duration,
    "json": _embedded_json,
    "items": _items,
    "quantity": _quantity,
    "int or string": _int_or_string,
    "schema or schemas": _schema_or("schemas"),
    "schema or bool": _schema_or("bool"),
    "schema or strings": _schema_or("strings"),
}
_SPECIAL = {message: _WRITERS[sort] for message, sort in protobuf.SPECIAL.items()}


# --- messages


def _payload(type_: str) -> Encode:
    """What writes a value of this type, with its length where it has one."""
    return _SCALARS[type_] if len(type_) == 1 else _nested(type_)


def _nested(message: str) -> Encode:
    """What writes a message with its length. Messages hold each other in circles: encoders are looked up when used."""
    special = _SPECIAL.get(message)
    if special is not None:
        return lambda value: _sized(special(value))

    def encode(value: Any) -> bytes:
        raw = _encoder(message)(value)
        size = len(raw)
        return (_SMALL[size] if size < 0x80 else _varint(size)) + raw

    return encode


def _single(tag: bytes, type_: str) -> Encode:
    payload = _payload(type_)
    return lambda value: tag + payload(value)


def _repeated(tag: bytes, type_: str) -> Encode:
    payload = _payload(type_)
    return lambda value: b"".join([tag + payload(each) for each in value])


def _mapped(tag: bytes, type_: str) -> Encode:
    payload = _payload(type_)
    value_tag = _varint(2 << 3 | _WIRES.get(type_, _BYTES))

    def encode(value: Any) -> bytes:
        parts: list[bytes] = []
        for key, each in value.items():
            pair = b"\x0a" + _text(key) + value_tag + payload(each)
            parts.append(tag + _sized(pair))
        return b"".join(parts)

    return encode


@cache
def _encoder(message: str) -> Encode:
    """What encodes an object as this message. Raises KeyError where there is no such message."""
    writers: dict[str, Encode] = {}
    inlined: list[tuple[bytes, Encode]] = []
    for number, (name, type_, repeated, mapped, *_) in protobuf.table()[message].items():
        tag = _varint(number << 3 | _WIRES.get(type_, _BYTES))
        if not name:
            # A struct that JSON inlines: its fields are found among those of the object around it.
            inlined.append((tag, _encoder(type_)))
        elif mapped:
            writers[name] = _mapped(_varint(number << 3 | _BYTES), type_)
        elif repeated:
            writers[name] = _repeated(tag, type_)
        else:
            writers[name] = _single(tag, type_)

    def encode(value: Any) -> bytes:
        parts: list[bytes] = []
        for key, child in value.items():
            if child is not None and (writer := writers.get(key)) is not None:
                parts.append(writer(child))
        parts.extend([tag + _sized(inner(value)) for tag, inner in inlined])
        return b"".join(parts)

    return encode


def known(api_version: str, kind: str) -> bool:
    """Whether objects of this kind have a protobuf message."""
    return protobuf.message_name(api_version, kind) in protobuf.table()


def _opening(api_version: str, kind: str) -> bytes:
    """An envelope up to its message."""
    type_meta = b"\x0a" + _text(api_version) + b"\x12" + _text(kind)
    return protobuf.MAGIC + b"\x0a" + _sized(type_meta) + b"\x12"


# contentEncoding and contentType, which Go always writes.
_CLOSING = b"\x1a\x00\x22\x00"


def encode(obj: Mapping[str, Any]) -> bytes:
    """The envelope of an object that has apiVersion and kind. Raises KeyError where its kind has no message."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    raw = _encoder(protobuf.message_name(api_version, kind))(obj)
    return _opening(api_version, kind) + _sized(raw) + _CLOSING


def encode_item(api_version: str, kind: str, obj: Object) -> bytes:
    """One item of a list, as `encode_list` takes it: its field of the list's message."""
    return b"\x12" + _sized(_encoder(protobuf.message_name(api_version, kind))(obj))


def encode_list(api_version: str, list_kind: str, list_metadata: Object, items: list[bytes]) -> list[bytes]:
    """The envelope of a list, in parts."""
    head = b"\x0a" + _nested(f"{_META}.ListMeta")(list_metadata)
    size = len(head) + sum(map(len, items))
    return [_opening(api_version, list_kind) + _varint(size) + head, *items, _CLOSING]


def encode_event(type_: str, obj: Mapping[str, Any]) -> bytes:
    """One frame of a watch stream."""
    raw = encode(obj)
    shown = b"\x0a" + _text(type_) + b"\x12" + _sized(b"\x0a" + _sized(raw))
    return struct.pack(">I", len(shown)) + shown
