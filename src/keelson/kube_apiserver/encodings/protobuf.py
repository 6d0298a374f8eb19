"""Kubernetes' protobuf envelope, read into the same JSON values as every other body.

An object is `k8s\\0` and a runtime.Unknown that holds apiVersion, kind and the message. Messages are read by a table of
field numbers (`_gen/fields.json`): message to number to [JSON name, type, flags]. A type is a message's name or one of
s(tring), b(ool), y (bytes), d(ouble), i(nteger); flags are r(epeated), m(ap from strings), z where zero is a value (Go
writes fields that are no pointers always, and for most of those zero is absence), and n where absence is null. An empty
JSON name is a Go struct that JSON inlines. Wire format: Protocol Buffers, "Encoding"; envelope: API concepts,
"Kubernetes Protobuf encoding".
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from sys import intern
from typing import Any

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import durations

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
_MOST_DEPTH = 100
_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_PACKAGES = {
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
}
_META_KINDS = frozenset(
    {
        "APIGroup",
        "APIGroupList",
        "APIResourceList",
        "APIVersions",
        "CreateOptions",
        "DeleteOptions",
        "GetOptions",
        "ListOptions",
        "Status",
        "UpdateOptions",
    }
)

_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1"
SPECIAL = {
    f"{_META}.Time": "time",
    f"{_META}.MicroTime": "micro time",
    f"{_META}.Duration": "duration",
    f"{_META}.FieldsV1": "json",
    f"{_META}.Verbs": "items",
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "quantity",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "int or string",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "json",
    "k8s.io.api.authentication.v1.ExtraValue": "items",
    "k8s.io.api.authorization.v1.ExtraValue": "items",
    "k8s.io.api.certificates.v1.ExtraValue": "items",
    f"{_EXTENSIONS}.JSON": "json",
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": "schema or schemas",
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": "schema or bool",
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": "schema or strings",
}
"""Messages that protobuf and JSON write differently, and how each is written in JSON."""

Field = tuple[str, str, bool, bool, bool, bool]


class _MalformedError(Exception):
    """Bytes that are no message."""


@cache
def table() -> dict[str, dict[int, Field]]:
    """Message to number to (JSON name, type, repeated, map, zero is a value, absence is null).

    Read when the first body needs it.
    """
    raw = orjson.loads((files(__package__) / "_gen" / "fields.json").read_bytes())
    return {
        message: {
            int(number): (intern(name), intern(type_), "r" in flags, "m" in flags, "z" in flags, "n" in flags)
            for number, (name, type_, flags) in fields.items()
        }
        for message, fields in raw.items()
    }


@cache
def _nulls(message: str) -> tuple[str, ...]:
    """The fields of a message that are null where they are absent."""
    return tuple(name for name, *_, null in table()[message].values() if null)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _MalformedError("a varint does not end")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _next(data: bytes, at: int) -> tuple[int, int, Any, int]:
    """(number, wire type, value, position after it) of the field at a position."""
    tag, at = _varint(data, at)
    wire = tag & 7
    if wire == 0:
        value, at = _varint(data, at)
        return tag >> 3, wire, value, at
    if wire == 2:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise _MalformedError("a field is longer than its message")
        return tag >> 3, wire, data[at : at + size], at + size
    size = {1: 8, 5: 4}.get(wire, 0)
    if not size or at + size > len(data):
        raise _MalformedError(f"wire type {wire}")
    return tag >> 3, wire, data[at : at + size], at + size


def _signed(value: int) -> int:
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >= 1 << 63 else value


def _raw_fields(data: bytes) -> dict[int, Any]:
    found: dict[int, Any] = {}
    at = 0
    while at < len(data):
        number, _, value, at = _next(data, at)
        found[number] = value
    return found


# --- types that protobuf and JSON write differently


# No time is longer; what is, has fields that are not a time's and is not worth remembering.
_SHORT = 24


def _moment(data: bytes) -> datetime | None:
    fields = _raw_fields(data)
    seconds, nanos = _signed(fields.get(1, 0)), _signed(fields.get(2, 0))
    if not seconds and not nanos:
        return None
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise _MalformedError("a time that no calendar knows") from error


def _time(data: bytes) -> str | None:
    return _known_time(data) if len(data) <= _SHORT else _read_time(data)


def _read_time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else meta.format_time(moment)


# An object that is read and written back brings the same few times again.
_known_time = lru_cache(maxsize=1024)(_read_time)


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else meta.format_micro_time(moment)


def _quantity(data: bytes) -> str:
    return _text(_raw_fields(data).get(1, b"")) or "0"


def _int_or_string(data: bytes) -> int | str:
    fields = _raw_fields(data)
    return _text(fields.get(3, b"")) if fields.get(1) else _signed(fields.get(2, 0))


def _embedded_json(data: bytes) -> Any:
    raw = _raw_fields(data).get(1, b"")
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _MalformedError("an embedded object is not JSON") from error


def _duration(data: bytes) -> str:
    return durations.format(_signed(_raw_fields(data).get(1, 0)) / 1e9)


def _items(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        number, _, value, at = _next(data, at)
        if number == 1:
            found.append(_text(value))
    return found


def _schema_or(other: str) -> Callable[[bytes], Any]:
    """JSONSchemaPropsOr…: a schema, or the alternative that field 2 (or, for booleans, field 1) is."""
    schema = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

    def read(data: bytes) -> Any:
        if other == "bool":
            fields = _raw_fields(data)
            return _message(fields[2], schema, 1) if 2 in fields else bool(fields.get(1, 0))
        alternatives: list[Any] = []
        at = 0
        while at < len(data):
            number, _, value, at = _next(data, at)
            if number == 1:
                return _message(value, schema, 1)
            alternatives.append(_text(value) if other == "strings" else _message(value, schema, 1))
        return alternatives

    return read


_READERS: dict[str, Callable[[bytes], Any]] = {
    "time": _time,
    "micro time": _micro_time,
    "duration": _duration,
    "json": _embedded_json,
    "items": _items,
    "quantity": _quantity,
    "int or string": _int_or_string,
    "schema or schemas": _schema_or("schemas"),
    "schema or bool": _schema_or("bool"),
    "schema or strings": _schema_or("strings"),
}
_SPECIAL = {message: _READERS[sort] for message, sort in SPECIAL.items()}


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise _MalformedError("a string has the wrong wire type")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _MalformedError("a string is not UTF-8") from error


def _scalar(value: Any, type_: str) -> Any:
    if type_ == "s":
        return _text(value)
    if type_ == "y":
        return base64.b64encode(value).decode() if isinstance(value, bytes) else ""
    if type_ == "d":
        return struct.unpack("<d", value)[0]
    if not isinstance(value, int):
        raise _MalformedError("a number has the wrong wire type")
    return bool(value) if type_ == "b" else _signed(value)


def _value(value: Any, type_: str, depth: int) -> Any:
    if len(type_) == 1:
        return _scalar(value, type_)
    if not isinstance(value, bytes):
        raise _MalformedError("a message has the wrong wire type")
    special = _SPECIAL.get(type_)
    return special(value) if special is not None else _message(value, type_, depth + 1)


_EMPTY: tuple[Any, ...] = ("", 0, False, 0.0)


def _message(data: bytes, message: str, depth: int) -> Object:
    if depth > _MOST_DEPTH:
        raise _MalformedError("nested too deeply")
    fields = table()[message]
    result: Object = {}
    at = 0
    while at < len(data):
        number, wire, value, at = _next(data, at)
        field = fields.get(number)
        if field is None:
            continue
        name, type_, repeated, mapped, zero, _ = field
        if mapped:
            key, found = _pair(value, type_, depth)
            result.setdefault(name, {})[key] = found
        elif repeated:
            if wire == 2 and type_ in ("i", "b"):
                result.setdefault(name, []).extend(_packed(value, type_))
            else:
                result.setdefault(name, []).append(_value(value, type_, depth))
        elif not name:
            result.update(_value(value, type_, depth))
        else:
            found = _value(value, type_, depth)
            if found is not None and (zero or (found not in _EMPTY and found != {})):
                result[name] = found
    for name in _nulls(message):
        result.setdefault(name, None)
    return result


def _packed(data: bytes, type_: str) -> list[Any]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(_scalar(value, type_))
    return found


def _pair(data: Any, type_: str, depth: int) -> tuple[str, Any]:
    if not isinstance(data, bytes):
        raise _MalformedError("a map entry has the wrong wire type")
    fields = _raw_fields(data)
    missing: Any = 0 if type_ in ("i", "b") else b""
    return _text(fields.get(1, b"")), _value(fields.get(2, missing), type_, depth)


def message_name(api_version: str, kind: str) -> str:
    """The message of a kind, whether there is one or not."""
    group, _, version = api_version.rpartition("/")
    if kind in _META_KINDS or group == "meta.k8s.io":
        return f"{_META}.{kind}"
    package = _PACKAGES.get(group) or f"k8s.io.api.{group.partition('.')[0] or 'core'}"
    return f"{package}.{version}.{kind}"


def decode(body: bytes) -> Object:
    """The object of an envelope, with its apiVersion and kind. Raises StatusError 400."""
    if not body.startswith(MAGIC):
        raise errors.bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        unknown = _raw_fields(body[len(MAGIC) :])
        type_meta = _raw_fields(unknown.get(1, b""))
        api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
        raw = unknown.get(2, b"")
        content_type = _text(unknown.get(4, b""))
        if content_type == "application/json":
            # An object of a kind without a message travels as JSON in the envelope.
            return dict(orjson.loads(raw))
        message = message_name(api_version, kind)
        if message not in table():
            raise errors.bad_request(f'no kind "{kind}" is registered for version "{api_version}"')
        return {"apiVersion": api_version, "kind": kind, **_message(raw, message, 0)}
    except (_MalformedError, struct.error, orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise errors.bad_request(f"proto: {error}") from error


def is_protobuf(headers: Mapping[str, str]) -> bool:
    """Whether a request's body is an envelope."""
    return headers.get("content-type", "").startswith(MEDIA_TYPE)
