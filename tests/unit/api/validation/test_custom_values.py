"""How a custom object is judged by its schema: words, ratcheting, embedded resources, formats, scale."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import conformance, defaults, schemas
from keelson.api.validation import structural, validate_structural

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def compiled(**properties: Any) -> schemas.Schema:
    return schemas.structural({"type": "object", "properties": properties})


def judged(schema: schemas.Schema, obj: dict[str, Any], old: dict[str, Any] | None = None, **more: Any) -> list[str]:
    return [f"{c['field']}: {c['message']}" for c in validate_structural(schema, obj, old, **more)]


def test_an_enumeration_is_told_in_its_own_order_and_true_is_not_one() -> None:
    schema = compiled(a={**TEXT, "enum": ["foo", "bar"]}, b={**NUMBER, "enum": [1]})
    assert judged(schema, {"a": "x"}) == ['a: Unsupported value: "x": supported values: "foo", "bar"']
    assert 'b: Unsupported value: true: supported values: "1"' in judged(schema, {"b": True})


def test_bounds_are_told_as_whole_numbers_where_they_are() -> None:
    schema = compiled(a={**NUMBER, "maximum": 10.0}, b={"type": "number", "minimum": 1.5})
    assert judged(schema, {"a": 11, "b": 1.25}) == [
        "a: Invalid value: 11: a in body should be less than or equal to 10",
        "b: Invalid value: 1.25: b in body should be greater than or equal to 1.5",
    ]


def test_a_write_of_status_is_judged_by_the_schema_of_status() -> None:
    schema = compiled(
        spec={"type": "object", "required": ["a"]}, status={"properties": {"n": {**NUMBER, "maximum": 1}}}
    )
    obj = {"spec": {}, "status": {"n": 2}}
    words = "status.n: Invalid value: 2: n in body should be less than or equal to 1"
    assert judged(schema, obj, {}, subresource="status") == [words]
    assert judged(schema, obj) == [
        "spec.a: Required value",
        "status.n: Invalid value: 2: status.n in body should be less than or equal to 1",
    ]


def test_the_best_branch_of_several_speaks() -> None:
    branches = [{"required": ["a", "b"]}, {"properties": {"c": {"enum": [1]}}, "required": ["a"]}]
    schema = compiled(x={"type": "object", "properties": {"a": TEXT, "b": TEXT, "c": NUMBER}, "anyOf": branches})
    found = judged(schema, {"x": {"a": "y", "c": 2}})
    assert '<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)' in found
    assert len(found) == 2


def test_what_broke_its_rule_already_may_stay() -> None:
    item = {"type": "object", "properties": {"k": TEXT, "v": {**NUMBER, "maximum": 5}}, "required": ["k"]}
    keyed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    schema = compiled(l=keyed, t={**TEXT, "maxLength": 1}, s={"type": "array", "items": TEXT, "maxItems": 9})
    old = {"l": [{"k": "a", "v": 9}], "t": "long"}
    assert judged(schema, {"l": [{"k": "b", "v": 1}, {"k": "a", "v": 9}], "t": "long"}, old) == []
    assert [each.partition(":")[0] for each in judged(schema, {"l": [{"k": "a", "v": 8}], "t": "longer"}, old)] == [
        "l[0].v",
        "t",
    ]
    twice = {"l": [{"k": "a"}, {"k": "a"}]}
    assert judged(schema, twice, old) == ['l[1]: Duplicate value: {"k":"a"}']
    # A list that has duplicates keeps the right to.
    assert judged(schema, {"l": [*twice["l"], {"k": "a"}]}, twice) == []


def test_the_type_of_an_object_is_judged_even_if_nothing_changed() -> None:
    schema = compiled(apiVersion={**TEXT, "pattern": "/v1$"}, a={**TEXT, "maxLength": 1})
    obj = {"apiVersion": "example.com/v2", "a": "long"}
    (complaint,) = judged(schema, obj, obj)
    assert complaint.startswith("apiVersion: Invalid value")


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date-time", "2014-12-15T19:30:20.000Z", "2014-12-15 19:30"),
        ("date", "2024-02-29", "2023-02-29"),
        ("duration", "22 ns", "soon"),
        ("duration", "1h30m", ""),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid4", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("byte", "aGk=", "aGk"),
        ("mac", "01:23:45:67:89:ab", "01:23:45:67:89"),
        ("isbn10", "0321751043", "0321751044"),
        ("isbn13", "978-0321751041", "978-0321751042"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("email", "a@example.com", "example.com"),
        ("uri", "https://example.com/x", "example"),
        ("hexcolor", "#FFFFFF", "#FFFFF"),
        ("k8s-short-name", "a-b", "A"),
    ],
)
def test_formats_are_judged(form: str, good: str, bad: str) -> None:
    schema = compiled(a={**TEXT, "format": form})
    assert judged(schema, {"a": good}) == []
    (complaint,) = judged(schema, {"a": bad})
    assert complaint.startswith("a: Invalid value")
    assert f"a in body must be of type {form}: " in complaint


def test_formats_that_nobody_knows_are_let_be() -> None:
    assert judged(compiled(a={**TEXT, "format": "odd"}), {"a": "x"}) == []


EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}


def test_an_embedded_resource_is_a_resource() -> None:
    schema = compiled(a=EMBEDDED)
    assert judged(schema, {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}}}) == []
    found = judged(schema, {"a": {"kind": "%", "metadata": {"name": "..", "labels": {"x": "y z"}}}})
    assert [each.partition(":")[0] for each in found] == [
        "a.apiVersion",
        "a.kind",
        "a.metadata.name",
        "a.metadata.labels",
    ]


def test_embedded_metadata_takes_the_shape_of_metadata() -> None:
    schema = compiled(a=EMBEDDED)
    obj = {"a": {"metadata": {"name": "a", "unknown": 1, "creationTimestamp": None}, "other": None}}
    assert conformance.prune(obj, schema) == ["a.metadata.unknown"]
    assert obj == {"a": {"metadata": {"name": "a"}, "other": None}}
    bad: dict[str, Any] = {"a": {"kind": 1, "metadata": {"name": "a", "labels": {"x": 1}}}}
    with pytest.raises(conformance.MismatchError, match=r"a\.kind: Invalid value: 1: must be a string"):
        conformance.prune(bad, schema)
    # What comes out of the store loses what is wrong, so that it can be read at all.
    conformance.prune(bad, schema, salvage=True)
    assert bad == {"a": {"metadata": {"name": "a"}}}


def test_embedded_metadata_has_the_defaults_that_its_schema_states() -> None:
    metadata = {"type": "object", "default": {}, "properties": {"name": {**TEXT, "default": "n"}}}
    schema = compiled(a={**EMBEDDED, "properties": {"kind": {**TEXT, "default": "K"}, "metadata": metadata}})
    obj: dict[str, Any] = {"a": {}}
    defaults.apply_structural(schema, obj)
    assert obj == {"a": {"kind": "K", "metadata": {"name": "n"}}}


def test_nulls_are_absent_where_they_may_not_be() -> None:
    schema = compiled(
        a=TEXT,
        b={**TEXT, "nullable": True},
        c={"type": "object", "additionalProperties": {**TEXT, "default": "x"}},
        d={"type": "array", "items": {**TEXT, "default": "y"}},
    )
    obj: dict[str, Any] = {"a": None, "b": None, "c": {"k": None}, "d": [None]}
    assert conformance.prune(obj, schema) == []
    defaults.apply_structural(schema, obj)
    assert obj == {"b": None, "c": {"k": "x"}, "d": ["y"]}


@pytest.mark.parametrize(
    ("obj", "complaint"),
    [
        (
            {"spec": {"replicas": 1 << 31}},
            ".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        ({"spec": {"replicas": -1}}, ".spec.replicas: Invalid value: -1: should be a non-negative integer"),
        (
            {"status": {"replicas": "x"}},
            (
                ".status.replicas: Invalid value: 0: .status.replicas accessor error: "
                "x is of the type string, expected int64"
            ),
        ),
    ],
)
def test_what_a_scale_can_not_show_is_refused(obj: dict[str, Any], complaint: str) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    found = structural.scale_causes(paths, obj)
    assert [f"{c['field']}: {c['message']}" for c in found] == [complaint]
    assert structural.scale_causes(paths, {"spec": {"replicas": 0}}) == []
