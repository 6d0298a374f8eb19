"""The Swagger 2.0 document as protobuf, the one form of it that client-go reads.

kubectl validates by itself what the server can't be asked to, such as `kind: List`, and fetches `/openapi/v2` for that.
The message is openapi.v2.Document of gnostic. Fields come from a table (`_gen/swagger.json`): message to JSON name to
[number, type, flags]. A type is a message's name or one of s(tring), b(ool), d(ouble), i(nteger); flags are r(epeated),
m for what holds the members of an object whose names are free, and x for the vendor extensions (`x-…`) among its names.
Where JSON has one object and gnostic several messages, `_SPECIAL` says which. Values that Swagger leaves open travel as
YAML, and JSON is YAML. What Swagger 2.0 has no field for is left out. Wire format: Protocol Buffers, "Encoding". Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# The name that client-go asks by, which is no media type by RFC 6838 and is never answered with.
DEPRECATED_MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

_VARINT, _FIXED64, _BYTES = 0, 1, 2


class _Field(NamedTuple):
    tag: bytes
    type: str
    repeated: bool


class _Shape(NamedTuple):
    """A message: its fields by JSON name, and where members with free names and vendor extensions go."""

    fields: Mapping[str, _Field]
    members: _Field | None
    extensions: _Field | None


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_WIRES = {"b": _VARINT, "i": _VARINT, "d": _FIXED64}


@cache
def _shapes() -> dict[str, _Shape]:
    """Read when the first document is encoded."""
    shapes: dict[str, _Shape] = {}
    for message, fields in orjson.loads((files(__package__) / "_gen" / "swagger.json").read_bytes()).items():
        found: dict[str, _Field] = {}
        members = extensions = None
        for name, (number, type_, flags) in fields.items():
            field = _Field(_varint(number << 3 | _WIRES.get(type_, _BYTES)), type_, flags == "r")
            if flags == "m":
                members = field
            elif flags == "x":
                extensions = field
            else:
                found[name] = field
        shapes[message] = _Shape(found, members, extensions)
    return shapes


def _payload(type_: str, value: Any) -> bytes:
    """A value as what follows its tag."""
    match type_:
        case "s":
            raw = str(value).encode()
        case "b":
            return b"\1" if value else b"\0"
        case "i":
            return _varint(int(value))
        case "d":
            return struct.pack("<d", value)
        case _:
            raw = encode(type_, value)
    return _varint(len(raw)) + raw


def _one(message: str, field: str, value: Any) -> bytes:
    """A message of which only one field is set, be it to its zero value: a oneof, or a wrapper."""
    found = _shapes()[message].fields[field]
    return found.tag + _payload(found.type, value)


def _strings(message: str, values: Any) -> bytes:
    return b"".join(_one(message, "value", each) for each in ([values] if isinstance(values, str) else values))


def _any(value: Any) -> bytes:
    return _one("Any", "yaml", orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE).decode())


def _additional(value: Any) -> bytes:
    return _one("AdditionalPropertiesItem", "boolean" if isinstance(value, bool) else "schema", value)


def _item(value: Any) -> bytes:
    return b"".join(_one("ItemsItem", "schema", each) for each in (value if isinstance(value, list) else [value]))


def _or_reference(message: str, otherwise: str) -> Callable[[Any], bytes]:
    return lambda value: _one(message, "jsonReference" if "$ref" in value else otherwise, value)


def _parameter(value: Any) -> bytes:
    return _one("Parameter", "bodyParameter" if value["in"] == "body" else "nonBodyParameter", value)


def _non_body_parameter(value: Any) -> bytes:
    return _one("NonBodyParameter", f"{value['in']}ParameterSubSchema", value)


def _schema_item(value: Any) -> bytes:
    return _one("SchemaItem", "fileSchema" if value.get("type") == "file" else "schema", value)


_SECURITY = {
    ("basic", ""): "basicAuthenticationSecurity",
    ("apiKey", ""): "apiKeySecurity",
    ("oauth2", "implicit"): "oauth2ImplicitSecurity",
    ("oauth2", "password"): "oauth2PasswordSecurity",
    ("oauth2", "application"): "oauth2ApplicationSecurity",
    ("oauth2", "accessCode"): "oauth2AccessCodeSecurity",
}


def _security(value: Any) -> bytes:
    return _one("SecurityDefinitionsItem", _SECURITY[value["type"], value.get("flow", "")], value)


_SPECIAL: dict[str, Callable[[Any], bytes]] = {
    "Any": _any,
    "AdditionalPropertiesItem": _additional,
    "ItemsItem": _item,
    "NonBodyParameter": _non_body_parameter,
    "Parameter": _parameter,
    "ParametersItem": _or_reference("ParametersItem", "parameter"),
    "ResponseValue": _or_reference("ResponseValue", "response"),
    "SchemaItem": _schema_item,
    "SecurityDefinitionsItem": _security,
    "StringArray": lambda value: _strings("StringArray", value),
    "TypeItem": lambda value: _strings("TypeItem", value),
}


def _named(field: _Field, name: str, value: Any) -> bytes:
    pair = _one(field.type, "name", name) + _one(field.type, "value", value)
    return field.tag + _varint(len(pair)) + pair


def encode(message: str, value: Any, *, told_before: bool = True) -> bytes:
    """A value of a Swagger document as a message of this name, such as "Schema"."""
    if told_before and message == "ParametersItem":
        return _told_before(orjson.dumps(value))
    special = _SPECIAL.get(message)
    if special is not None:
        return special(value)
    shape = _shapes()[message]
    parts: list[bytes] = []
    for name, child in value.items():
        field = shape.fields.get(name)
        if field is not None:
            if field.repeated:
                parts += [field.tag + _payload(field.type, each) for each in child]
            # In proto3 zero is absence; and an object that has `properties`, be it none, is no map for its readers.
            elif (len(field.type) > 1 and (child or name != "properties")) or child:
                parts.append(field.tag + _payload(field.type, child))
        elif shape.extensions is not None and name.startswith("x-"):
            parts.append(_named(shape.extensions, name, child))
        elif shape.members is not None:
            parts.append(_named(shape.members, name, child))
    return b"".join(parts)


def _repeated(value: bytes) -> bytes:
    return encode("ParametersItem", orjson.loads(value), told_before=False)


# Every path repeats the parameters of every other.
_told_before = lru_cache(maxsize=256)(_repeated)


def part(field: str, value: Mapping[str, Any]) -> bytes:
    """Some members of a Document's `paths` or `definitions`: parts can be put one after the other."""
    return encode(_shapes()["Document"].fields[field].type, value)


def joined(swagger: Mapping[str, Any], parts: Mapping[str, Sequence[bytes]]) -> Iterator[bytes]:
    """The Document of a value without its `paths` and `definitions`, which are given in parts."""
    yield encode("Document", swagger)
    for field, found in parts.items():
        yield _shapes()["Document"].fields[field].tag + _varint(sum(map(len, found)))
        yield from found


def document(swagger: Mapping[str, Any]) -> bytes:
    """A whole Swagger 2.0 document as openapi.v2.Document. Raises KeyError for one that isn't valid."""
    return encode("Document", swagger)
