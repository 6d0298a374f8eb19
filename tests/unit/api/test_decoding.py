"""Decoding: what becomes of a body on its way to an object, and what the client is told."""

from typing import Any

import pytest

from keelson.api import decoding, documents, resources, schemas
from keelson.api.errors import StatusError

PODS = resources.lookup("pods")
JSON = "application/json"
YAML = "application/yaml"


def decode(
    body: bytes, *, resource: str = "pods", media_type: str = JSON, validation: str = "Warn"
) -> decoding.Decoded:
    return decoding.decode(body, media_type, resources.lookup(resource), field_validation=validation)


def refused(body: bytes, **options: Any) -> str:
    with pytest.raises(StatusError) as caught:
        decode(body, **options)
    assert caught.value.code == 400
    return caught.value.message


def test_type_is_filled_in() -> None:
    assert decode(b'{"metadata":{"name":"a"}}').object == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
    }


def test_another_type_is_refused() -> None:
    assert "does not match the expected API version (v1)" in refused(b'{"apiVersion":"apps/v1","kind":"Pod"}')
    assert "does not match the expected kind (Pod)" in refused(b'{"apiVersion":"v1","kind":"Node"}')


def test_unknown_fields_are_dropped_and_told() -> None:
    found = decode(b'{"spec":{"nodeNam":"n","containers":[{"name":"a","imag":"b"}]}}')
    assert found.object["spec"] == {"containers": [{"name": "a"}]}
    assert found.warnings == ['unknown field "spec.nodeNam"', 'unknown field "spec.containers[0].imag"']
    assert decode(b'{"spec":{"nodeNam":"n"}}', validation="Ignore").warnings == []


def test_strict_refuses_unknown_and_duplicate_fields() -> None:
    message = refused(b'{"spec":{"x":1,"nodeName":"a","nodeName":"b"}}', validation="Strict")
    assert message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.x", duplicate field "spec.nodeName"'
    )


def test_duplicates_are_found_whatever_the_layout() -> None:
    body = b'{ "metadata" : {"labels": {"a": "1", "b": "2", "a": "3"} } }'
    found = decode(body)
    assert found.object["metadata"]["labels"] == {"a": "3", "b": "2"}
    assert found.warnings == ['duplicate field "metadata.labels.a"']


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"spec":{"containers":[{"name":1}]}}',
            "cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            b'{"spec":{"containers":{}}}',
            "cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            b'{"spec":{"priority":"high"}}',
            "cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            b'{"spec":{"priority":4294967296}}',
            "cannot unmarshal number 4294967296 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (b'{"spec":{"hostNetwork":"true"}}', "PodSpec.spec.hostNetwork of type bool"),
        (b'{"metadata":{"creationTimestamp":"yesterday"}}', 'parsing time "yesterday" as'),
        (b'{"spec":{"overhead":{"cpu":"1x"}}}', "unable to parse quantity's suffix"),
        (b"[]", "not an object"),
        (b"{", "JSON"),
    ],
)
def test_wrong_types_are_named(body: bytes, message: str) -> None:
    assert message in refused(body)


def test_values_become_canonical() -> None:
    found = decode(
        b'{"metadata":{"creationTimestamp":"2026-01-01T01:00:00.5+01:00"},'
        b'"spec":{"overhead":{"cpu":0.5,"memory":1073741824,"x.y/z":"1000m"}}}'
    ).object
    assert found["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert found["spec"]["overhead"] == {"cpu": "500m", "memory": "1073741824", "x.y/z": "1"}
    lease = decode(b'{"spec":{"renewTime":"2026-01-01T00:00:00Z"}}', resource="leases.coordination.k8s.io").object
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"


def test_nulls_vanish_but_in_collections() -> None:
    found = decode(b'{"metadata":{"creationTimestamp":null,"labels":{"a":null}},"spec":{"containers":[null]}}').object
    assert found["metadata"] == {"labels": {"a": ""}}
    assert found["spec"] == {"containers": [{}]}


def test_bytes_must_be_base64() -> None:
    assert decode(b'{"data":{"a":"aGk="}}', resource="secrets").object["data"] == {"a": "aGk="}
    assert "illegal base64 data" in refused(b'{"data":{"a":"a"}}', resource="secrets")
    # Text that is not even ASCII is another kind of error to the decoder's own decoder.
    assert "illegal base64 data" in refused('{"data":{"a":"é"}}'.encode(), resource="secrets")


def test_free_form_values_are_kept() -> None:
    body = b'{"data":{"a":null,"b":[1,{"c":1.5}]},"revision":1}'
    assert decode(body, resource="controllerrevisions.apps").object["data"] == {"a": None, "b": [1, {"c": 1.5}]}


def test_depth_is_limited() -> None:
    body = b'{"data":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}"
    assert "max depth" in refused(body, resource="controllerrevisions.apps")
    assert "max depth" in refused(b"a: " + b"[" * 300 + b"]" * 300, media_type=YAML)


def test_other_media_types_are_415() -> None:
    with pytest.raises(StatusError) as caught:
        decode(b"", media_type="text/plain")
    assert caught.value.code == 415


def test_yaml_speaks_the_dialect_of_go() -> None:
    body = b"""
metadata:
  name: 2026-01-01
  labels: {a: "1", b: '0x10'}
spec:
  hostNetwork: yes
  priority: 0x10
  activeDeadlineSeconds: 0o17
  nodeName: 12:30
"""
    found = decode(body, media_type=YAML).object
    assert found["metadata"] == {"name": "2026-01-01", "labels": {"a": "1", "b": "0x10"}}
    assert found["spec"] == {"hostNetwork": True, "priority": 16, "activeDeadlineSeconds": 15, "nodeName": "12:30"}


def test_yaml_aliases_are_copied_and_merged() -> None:
    value, _ = documents.load_yaml(b"a: &x {k: 1}\nb: *x\nc: {<<: *x, d: 2}")
    assert value == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "d": 2}}
    assert value["a"] is not value["b"]


def test_yaml_bombs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "excessive aliasing" in refused("\n".join(lines).encode(), media_type=YAML)


def test_yaml_duplicates_and_malformed_documents() -> None:
    body = b"spec:\n  nodeName: a\n  nodeName: b\n  x: 1\n"
    assert decode(body, media_type=YAML).warnings == [
        'unknown field "spec.x"',
        'line 3: key "nodeName" already set in map',
    ]
    assert refused(body, validation="Strict", media_type=YAML).endswith(
        'strict decoding error: unknown field "spec.x", '
        'yaml: unmarshal errors:\n  line 3: key "nodeName" already set in map'
    )
    assert "yaml" in refused(b"a: [", media_type=YAML)
    assert "yaml" in refused(b"a: 1\n---\nb: 2", media_type=YAML)


CRON_TAB = schemas.structural(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "default": 3},
                    "image": {"type": "string", "nullable": True, "default": "x"},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    }
)


def test_custom_resources_are_pruned_by_their_schema() -> None:
    kind = schemas.Kind("stable.example.com/v1", "CronTab")
    body = (
        b'{"metadata":{"name":"a","foo":1},"other":1,'
        b'"spec":{"size":null,"image":null,"free":{"a":{"b":1}},"unknown":{"a":1}}}'
    )
    found = decoding.decode(body, JSON, kind, schema=CRON_TAB)
    assert found.object["spec"] == {"image": None, "free": {"a": {"b": 1}}}
    assert found.object["metadata"] == {"name": "a"}
    assert set(found.warnings) == {
        'unknown field "other"',
        'unknown field "metadata.foo"',
        'unknown field "spec.unknown"',
    }
    with pytest.raises(StatusError, match="strict decoding error"):
        decoding.decode(body, JSON, kind, schema=CRON_TAB, field_validation="Strict")


@pytest.mark.parametrize("level", [b"[", b"{a: ", b"- ", b"? ", b"[{b: "])
def test_deep_yaml_is_refused_before_it_is_composed(level: bytes) -> None:
    """PyYAML's composer recurses in C: a hundred kilobytes of brackets took the process with them."""
    with pytest.raises(StatusError, match="exceeded max depth") as refused:
        decoding.parse(level * (100_000 // len(level)), "application/yaml")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("body", "value", "complaints"),
    [
        (b'{"a":1,"b":["x",null,true,1.5]}', {"a": 1, "b": ["x", None, True, 1.5]}, 0),
        (b'{"a": 1}', {"a": 1}, 0),
        (b'{"a":1,"a":2}', {"a": 2}, 1),
        (b"{a: 1}", {"a": 1}, 0),
        (b'{"a":1e2}', {"a": 100}, 0),
        (b'{"\\u0061":"\\u003c"}', {"a": "<"}, 0),
    ],
)
def test_json_that_is_said_to_be_yaml(body: bytes, value: object, complaints: int) -> None:
    """As appliers send it. What is written plainly does not take the way through YAML's reader, to the same end."""
    found, told = decoding.parse(body, "application/apply-patch+yaml")
    assert (found, len(told)) == (value, complaints)
