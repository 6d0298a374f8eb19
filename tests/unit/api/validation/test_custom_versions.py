"""What a CRD's version may say beside its schema's structure, and what its schema may say of names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from keelson.api import resources, schemas
from keelson.api.validation import validate_create, validate_structural, validate_update

CRD = resources.lookup("customresourcedefinitions.apiextensions.k8s.io")


def definition(properties: dict[str, Any], *, group: str = "example.com", **version: Any) -> dict[str, Any]:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"type": "object", "properties": properties}
    made = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    return {
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [made]},
    }


def complaints(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cause["field"].removeprefix("spec."), cause["message"]) for cause in validate_create(CRD, found)]


TEXT = {"type": "string"}


def test_a_good_definition_has_none() -> None:
    columns = [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]
    fields = [{"jsonPath": ".a"}]
    found = definition({"a": {**TEXT, "default": "x"}}, additionalPrinterColumns=columns, selectableFields=fields)
    assert complaints(found) == []


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ({"name": "A", "type": "text", "jsonPath": ".a"}, "type"),
        ({"name": "A", "jsonPath": ".a"}, "type"),
        ({"type": "string", "jsonPath": ".a"}, "name"),
        ({"name": "A", "type": "string", "jsonPath": "a"}, "JSONPath"),
        ({"name": "A", "type": "string"}, "JSONPath"),
        ({"name": "A", "type": "string", "format": "odd", "jsonPath": ".a"}, "format"),
    ],
)
def test_columns_that_can_not_be_printed_are_refused(column: dict[str, str], field: str) -> None:
    assert [where for where, _ in complaints(definition({"a": TEXT}, additionalPrinterColumns=[column]))] == [
        f"additionalPrinterColumns[0].{field}"
    ]


@pytest.mark.parametrize("path", [".missing", ".metadata.name", "a", ".list", ".a[0]", ""])
def test_fields_that_can_not_be_selected_by_are_refused(path: str) -> None:
    properties = {"a": TEXT, "list": {"type": "array", "items": TEXT}}
    found = complaints(definition(properties, selectableFields=[{"jsonPath": path}]))
    assert [where for where, _ in found] == ["selectableFields[0].jsonPath"]


def test_defaults_must_be_what_their_schema_accepts() -> None:
    inner = {"type": "object", "properties": {"b": TEXT}}
    properties = {
        "a": {"type": "integer", "default": "x"},
        "o": {**inner, "default": {"c": 1}},
        "l": {"type": "array", "items": {"type": "string", "enum": ["p"], "default": "q"}},
    }
    found = [where.removeprefix("validation.openAPIV3Schema.") for where, _ in complaints(definition(properties))]
    assert found == ["properties[a].default", "properties[o].default", "properties[l].items.default"]


def test_groups_of_the_community_need_an_approval() -> None:
    found = definition({}, group="x.k8s.io")
    ((field, message),) = complaints(found)
    assert field == "metadata.annotations[api-approved.kubernetes.io]"
    assert "protected groups must have approval annotation" in message
    found["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com/1"}
    assert complaints(found) == []


def judged(schema: dict[str, Any], obj: dict[str, Any]) -> list[str]:
    return [cause["field"] for cause in validate_structural(schemas.structural(schema), obj)]


def test_a_schema_may_narrow_the_names_of_its_objects() -> None:
    metadata = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}
    schema = {"type": "object", "properties": {"metadata": metadata}}
    assert judged(schema, {"metadata": {"name": "abc"}}) == []
    assert judged(schema, {"metadata": {"name": "abcd"}}) == ["metadata.name"]
    assert "metadata" in {
        where.partition("[")[2].rstrip("]")
        for where, _ in complaints(
            definition({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})
        )
    }


def test_an_embedded_resource_has_a_type() -> None:
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"a": inner}}
    assert judged(schema, {"a": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"b": 1}}}) == []
    assert judged(schema, {"a": {"kind": "Pod"}}) == ["a.apiVersion"]


def test_what_versions_say_differently_is_told_of_each() -> None:
    found = definition({"a": {"type": "text"}})
    other = {**found["spec"]["versions"][0], "name": "v2", "storage": False, "schema": {"openAPIV3Schema": {}}}
    found["spec"]["versions"].append(other)
    assert [where for where, _ in complaints(found)] == [
        "versions[0].schema.openAPIV3Schema.properties[a].type",
        "versions[1].schema.openAPIV3Schema.type",
    ]


def test_what_a_stored_definition_breaks_already_its_updates_may_break() -> None:
    old = definition({"a": {}, "b": TEXT})
    assert [where for where, _ in complaints(old)] == ["validation.openAPIV3Schema.properties[a].type"]
    old["status"] = {"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"]}
    new = copy.deepcopy(old)
    new["spec"]["names"]["shortNames"] = ["w"]
    assert validate_update(CRD, new, old) == []
    new["spec"]["scope"] = "Cluster"
    assert [cause["field"] for cause in validate_update(CRD, new, old)] == ["spec.scope"]
    # Nor may a defect of the specification keep the status from being told.
    assert validate_update(CRD, {**old, "spec": {}}, old, subresource="status") == []
