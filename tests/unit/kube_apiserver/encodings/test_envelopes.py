"""Protobuf answers: every kind survives the way out and in again, and frames are as Go's decoders want them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from keelson.api import resources
from keelson.kube_apiserver.encodings import envelopes, protobuf

KINDS = sorted({(each.api_version, each.kind) for each in resources.BUILT_IN})
SAMPLES: dict[str, Any] = {"s": "text", "b": True, "y": "AP8=", "d": 0.25, "i": -7}
DEEP = 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def special(name: str) -> Any:
    """A value of a type that JSON writes in its own way, None for other types."""
    last = name.rpartition(".")[2]
    return {
        "Time": "2026-11-21T17:00:00Z",
        "MicroTime": "1969-12-31T23:59:59.000123Z",
        "Duration": "1m30s",
        "FieldsV1": {"f:metadata": {}},
        "Verbs": ["get", "list"],
        "Quantity": "500m",
        "IntOrString": "25%",
        "RawExtension": {"apiVersion": "v1", "kind": "Anything", "n": [1, None]},
        "ExtraValue": ["one", "two"],
        "JSON": {"any": ["thing"]},
        "JSONSchemaPropsOrArray": {"type": "string"},
        "JSONSchemaPropsOrBool": True,
        "JSONSchemaPropsOrStringArray": ["one"],
    }.get(last)


def sample(message: str, depth: int = 0) -> dict[str, Any]:
    """An object of a message in which every field down to some depth has a value."""
    found: dict[str, Any] = {}
    for name, type_, repeated, mapped, *_ in protobuf.table()[message].values():
        if len(type_) == 1:
            value = SAMPLES[type_]
        elif (value := special(type_)) is None:
            if depth == DEEP:
                continue
            value = sample(type_, depth + (1 if name else 0))
        if not name:
            found.update(value)
        elif mapped:
            found[name] = {"key": value}
        else:
            found[name] = [value, value] if repeated else value
    return found


def without_nulls(value: Any) -> Any:
    """The value without what is null: what the sample leaves out at its depth may be null when read."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    return [without_nulls(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("api_version", "kind"), KINDS)
def test_every_kind_comes_back_as_it_went(api_version: str, kind: str) -> None:
    assert envelopes.known(api_version, kind)
    obj = {**sample(protobuf.message_name(api_version, kind)), "apiVersion": api_version, "kind": kind}
    assert without_nulls(protobuf.decode(envelopes.encode(obj))) == without_nulls(obj)


def test_other_forms_of_types_with_alternatives() -> None:
    schema = {
        "items": [{"type": "string"}, {"type": "integer"}],
        "additionalProperties": {"type": "object"},
        "dependencies": {"one": {"type": "number"}},
        "default": 5,
    }
    spec = {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    shown = protobuf.decode(envelopes.encode(definition))
    assert shown["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": 0x1F90}]}}
    assert protobuf.decode(envelopes.encode(service)) == service


def test_zero_of_a_pointer_is_told_and_null_and_unknown_fields_are_not() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "creationTimestamp": None, "noSuchField": 1},
        "spec": {"replicas": 0},
    }
    raw = field(1, field(1, "web")) + field(2, b"\x08\x00")
    type_meta = field(1, field(1, "apps/v1") + field(2, "Deployment"))
    assert envelopes.encode(deployment) == b"k8s\0" + type_meta + field(2, raw) + b"\x1a\x00\x22\x00"


def test_a_list_is_its_metadata_and_messages_without_types() -> None:
    items = [
        envelopes.encode_item("v1", "ConfigMap", {"kind": "ConfigMap", "metadata": {"name": name}}) for name in "ab"
    ]
    body = b"".join(envelopes.encode_list("v1", "ConfigMapList", {"resourceVersion": "7"}, items))
    raw = field(1, field(2, "7")) + b"".join(field(2, field(1, field(1, name))) for name in "ab")
    type_meta = field(1, field(1, "v1") + field(2, "ConfigMapList"))
    assert body == b"k8s\0" + type_meta + field(2, raw) + b"\x1a\x00\x22\x00"


def test_a_watch_frame_is_a_length_and_an_event_around_an_envelope() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    frame = envelopes.encode_event("ADDED", obj)
    assert struct.unpack(">I", frame[:4]) == (len(frame) - 4,)
    assert frame[4:] == field(1, "ADDED") + field(2, field(1, envelopes.encode(obj)))


def test_status_and_metadata_alone_have_messages_too() -> None:
    status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404, "details": {"name": "x"}}
    assert protobuf.decode(envelopes.encode(status)) == status
    partial = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a"}}
    assert protobuf.decode(envelopes.encode(partial)) == partial
