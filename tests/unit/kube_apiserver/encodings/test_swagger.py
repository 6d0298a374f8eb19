"""Swagger as protobuf: read back by another implementation of protobuf, it says what the document says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from keelson.api import openapi
from keelson.api.resources import BUILT_IN
from keelson.kube_apiserver.encodings import swagger

TABLE = orjson.loads((files("keelson.kube_apiserver.encodings") / "_gen" / "swagger.json").read_bytes())
Descriptor = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "s": Descriptor.TYPE_STRING,
    "b": Descriptor.TYPE_BOOL,
    "d": Descriptor.TYPE_DOUBLE,
    "i": Descriptor.TYPE_INT64,
}
ONE_OF = frozenset({"AdditionalPropertiesItem", "NonBodyParameter", "Parameter", "ParametersItem", "ResponseValue",
                    "SchemaItem", "SecurityDefinitionsItem"})  # fmt: skip


def classes() -> Mapping[str, type[Message]]:
    """Messages by the table's numbers; in place of google.protobuf.Any, which no document holds, stands Any."""
    file = descriptor_pb2.FileDescriptorProto(name="swagger.proto", package="openapi", syntax="proto3")
    for message, fields in TABLE.items():
        described = file.message_type.add(name=message)
        if message in ONE_OF:
            described.oneof_decl.add(name="one")
        for name, (number, type_, flags) in fields.items():
            field = described.field.add(name=name.replace("$", "_"), number=number)
            field.label = Descriptor.LABEL_REPEATED if flags else Descriptor.LABEL_OPTIONAL
            if message in ONE_OF:
                field.oneof_index = 0
            field.type = SCALARS.get(type_, Descriptor.TYPE_MESSAGE)
            if type_ not in SCALARS:
                field.type_name = ".openapi." + type_.rpartition(".")[2]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"openapi.{name}")) for name in TABLE}


CLASSES = classes()


def plain(message: Message) -> Any:
    """A message as the JSON that it was made of, but for wrappers that hold one thing, which are that thing."""
    name = message.DESCRIPTOR.name
    result: dict[str, Any] = {}
    for field, value in message.ListFields():
        key = field.name.replace("_ref", "$ref")
        if TABLE[name][key][2] in ("m", "x"):
            result |= {each.name: plain(each.value) for each in value}
        elif TABLE[name][key][2]:
            result[key] = [plain(each) if isinstance(each, Message) else each for each in value]
        else:
            result[key] = plain(value) if isinstance(value, Message) else value
    if name == "Any":
        return orjson.loads(result["yaml"])
    if name in ("TypeItem", "ItemsItem"):
        (found,) = next(iter(result.values()))
        return found
    if name == "StringArray":
        return result.get("value", [])
    if name in ONE_OF:
        (found,) = result.values()
        return found
    return result


def expected(value: Any) -> Any:
    """A document without what proto3 does not tell from absence."""
    if isinstance(value, dict):
        return {
            key: child if key.startswith("x-") else expected(child)
            for key, child in value.items()
            if child is not False and child != "" and (key, child) != ("parameters", [])
        }
    return [expected(child) for child in value] if isinstance(value, list) else value


def decoded(message: str, data: bytes) -> Any:
    found = CLASSES[message]()
    found.ParseFromString(data)
    # Deterministic and minimal: what another implementation writes is as long.
    assert len(found.SerializeToString()) == len(data)
    return plain(found)


def test_the_whole_document_is_read_back() -> None:
    document = openapi.swagger(BUILT_IN, release="v1.36.0")
    found = decoded("Document", swagger.document(document))
    wanted = expected(document)
    assert set(found["definitions"]) == set(wanted["definitions"])
    for name, definition in wanted["definitions"].items():
        assert found["definitions"][name] == definition, name
    for path, item in wanted["paths"].items():
        assert found["paths"][path] == item, path
    assert found == wanted


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        ({"additionalProperties": {}}, {"additionalProperties": {}}),
        ({"items": {"type": "string"}, "type": "array"}, {"items": {"type": "string"}, "type": "array"}),
        ({"default": {"a": [None, False, 0]}, "enum": ["a", 1, None]},) * 2,
        ({"maximum": -1.5, "maxLength": 300, "minItems": -1},) * 2,
        ({"description": "größer", "x-kubernetes-validations": [{"rule": "self > 0"}]},) * 2,
        ({"properties": {"additionalProperties": {"type": "object"}, "x-free": {}, "$ref": {"type": "string"}}},) * 2,
        ({"type": "object", "properties": {}}, {"type": "object"}),
        ({"oneOf": [{}], "nullable": True, "title": "kept"}, {"title": "kept"}),
    ],
)
def test_schemas(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert decoded("Schema", swagger.encode("Schema", schema)) == wanted


def test_other_forms_of_swagger() -> None:
    document = {
        "securityDefinitions": {"basic": {"type": "basic"}, "flow": {"type": "oauth2", "flow": "password"}},
        "parameters": {"shared": {"name": "pretty", "in": "query", "type": "string"}},
        "paths": {
            "/x": {
                "get": {
                    "parameters": [{"$ref": "#/parameters/shared"}, {"name": "h", "in": "header", "type": "integer"}],
                    "responses": {"200": {"$ref": "#/responses/ok"}, "404": {"description": "no", "x-why": 1}},
                }
            },
            "x-about": "paths",
        },
    }
    assert decoded("Document", swagger.document(document)) == document


def test_an_invalid_document_is_refused() -> None:
    with pytest.raises(KeyError):
        swagger.document({"securityDefinitions": {"new": {"type": "unheard of"}}})


def test_a_document_in_parts_is_the_document() -> None:
    parameter = {"name": "pretty", "in": "query", "type": "string", "uniqueItems": True}
    item = {"get": {"operationId": "a", "parameters": [parameter, parameter], "responses": {}}}
    rest = {"swagger": "2.0", "info": {"title": "t", "version": "v"}}
    paths = [{"/a": item}, {"/b": item}]
    definitions = [{"A": {"type": "object"}}, {"B": {"type": "string"}}]
    parts = {
        "paths": [swagger.part("paths", each) for each in paths],
        "definitions": [swagger.part("definitions", each) for each in definitions],
    }
    whole = {**rest, "paths": {**paths[0], **paths[1]}, "definitions": {**definitions[0], **definitions[1]}}
    assert decoded("Document", b"".join(swagger.joined(rest, parts))) == decoded("Document", swagger.document(whole))
