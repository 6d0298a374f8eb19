"""What keeps a CRD's schema from being structural, and what else is wrong with it, told as upstream tells it."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.validation import custom_schemas, structural_schemas

ANY = {"x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}
EITHER = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def told(schema: dict[str, Any]) -> list[str]:
    return [f"{cause['field']}: {cause['message']}" for cause in structural_schemas.violations(schema, "s")]


def root(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    "schema",
    [
        root(a=TEXT, b=EITHER, c=ANY, metadata={"type": "object", "properties": {"name": {"pattern": "^a"} | TEXT}}),
        root(a={**TEXT, "anyOf": [{"minLength": 3}, {"pattern": "^x"}], "not": {"enum": ["y"]}}),
        root(a={**root(b=TEXT), "oneOf": [{"required": ["b"]}, {"properties": {"b": {"minLength": 1}}}]}),
        root(a={"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": EITHER["anyOf"]}, {"pattern": "^1"}]}),
        root(a={"type": "object", "x-kubernetes-embedded-resource": True, **ANY}),
    ],
)
def test_structural_schemas_have_no_violations(schema: dict[str, Any]) -> None:
    assert told(schema) == []


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({}, "s.type: Required value: must not be empty at the root"),
        ({"type": "array", "items": TEXT}, 's.type: Invalid value: "array": must be object at the root'),
        (
            {"type": "object", "additionalProperties": TEXT},
            "s.additionalProperties: Forbidden: must not be used at the root",
        ),
        (root(a={}), "s.properties[a].type: Required value: must not be empty for specified object fields"),
        (
            root(a={"type": "array", "items": {}}),
            "s.properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        (root(a={"type": "array"}), "s.properties[a].items: Required value: must be specified"),
        (
            root(a={**TEXT, "not": {"type": "integer"}}),
            "s.properties[a].not.type: Forbidden: must be empty to be structural",
        ),
        (
            root(a={**TEXT, "allOf": [{"default": "x"}]}),
            "s.properties[a].allOf[0].default: Forbidden: must be undefined to be structural",
        ),
        (
            {**root(a=TEXT), "anyOf": [{"properties": {"b": {"minLength": 1}}}]},
            "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]",
        ),
        (
            {**root(a={"type": "array", "items": TEXT}), "not": {"properties": {"a": {"items": {"items": {}}}}}},
            "s.properties[a].items.items: Required value: because it is defined in s.not.properties[a].items.items",
        ),
        (
            {**root(), "oneOf": [{"properties": {"metadata": {}}}]},
            "s.oneOf[0].properties[metadata]: Forbidden: must not be specified in a nested context",
        ),
        (
            root(metadata={"type": "object", "description": "mine"}),
            (
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
                "metadata is implicitly specified"
            ),
        ),
        (root(kind={"type": "integer"}), 's.properties[kind].type: Invalid value: "integer": must be string'),
        (
            root(a={"x-kubernetes-embedded-resource": True, "type": "object"}),
            (
                "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is "
                "true "
                "without x-kubernetes-preserve-unknown-fields"
            ),
        ),
        (
            root(a={"x-kubernetes-embedded-resource": True, **ANY}),
            "s.properties[a].type: Required value: must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            root(a={**EITHER, **ANY}),
            (
                "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if "
                "x-kubernetes-int-or-string is true"
            ),
        ),
    ],
)
def test_a_violation_is_told_where_it_is(schema: dict[str, Any], complaint: str) -> None:
    assert complaint in told(schema)


def checked(schema: dict[str, Any], *, has_status: bool = False) -> list[str]:
    return [f"{c['field']}: {c['message']}" for c in custom_schemas.check("s", schema, has_status=has_status)]


LIST = {"type": "array", "items": root(k=TEXT), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (
            root(a=LIST),
            (
                "s.properties[a].items.properties[k].default: Required value: this property is in "
                "x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ),
        ),
        (
            root(a={**LIST, "x-kubernetes-list-map-keys": ["z"]}),
            (
                's.properties[a].x-kubernetes-list-map-keys: Invalid value: ["z"]: entries must all be names of item '
                "properties"
            ),
        ),
        (
            root(a={"type": "array", "items": root(), "x-kubernetes-list-type": "set"}),
            (
                "s.properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list "
                "with "
                "x-kubernetes-list-type=set"
            ),
        ),
        (
            root(a={**TEXT, "x-kubernetes-map-type": "atomic"}),
            's.properties[a].type: Invalid value: "string": must be object if x-kubernetes-map-type is specified',
        ),
        (
            root(a={**TEXT, "uniqueItems": True}),
            (
                "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
                "complexity "
                "becomes quadratic"
            ),
        ),
        ({**root(), "nullable": True}, "s.nullable: Forbidden: nullable cannot be true at the root"),
        (
            root(metadata={"type": "object", "properties": {"name": {**TEXT, "default": "x"}}}),
            "s.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata",
        ),
        (root(a={**TEXT, "$ref": "x"}), "s.properties[a].$ref: Forbidden: $ref is not supported"),
    ],
)
def test_what_is_no_schema_of_a_crd_is_told(schema: dict[str, Any], complaint: str) -> None:
    assert complaint in checked(schema)


def test_a_status_of_its_own_leaves_less_to_the_root() -> None:
    schema = {**root(status=root()), "minProperties": 1}
    assert checked(schema) == []
    (complaint,) = checked(schema, has_status=True)
    assert "fields are allowed at the root of the schema if the status subresource is enabled" in complaint


def embedded(**metadata: Any) -> dict[str, Any]:
    properties = {"apiVersion": TEXT, "kind": TEXT, "metadata": {"type": "object", **metadata}}
    return root(a={**root(**properties), "x-kubernetes-embedded-resource": True})


def test_defaults_of_embedded_metadata_must_make_metadata() -> None:
    # What metadata does not have is dropped without a word, as it is from objects.
    assert checked(embedded(default={"name": "a", "unknown": 1}, properties={"name": TEXT})) == []
    (complaint,) = checked(embedded(default={"name": 1}))
    assert complaint.startswith("s.properties[a].properties[metadata].default: Invalid value")
    assert "must result in valid metadata" in complaint


def test_a_default_must_obey_the_rules_of_its_place() -> None:
    rule = {"rule": "self.size() > 3", "message": "too short"}
    (complaint,) = checked(root(a={**TEXT, "default": "x", "x-kubernetes-validations": [rule]}))
    assert complaint == 's.properties[a].default: Invalid value: "x": too short'
