"""Who owns what in cases that sequences of writes to upstream's server and to ours have found (KEP-555)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from keelson.api import schemas, strategies
from keelson.api.patches import managed_fields, server_side_apply, typed_values

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = {"type": "string"}
TAGS = {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}
THING = schemas.structural(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "text": TEXT,
                    "tags": TAGS,
                    "nested": {"type": "object", "properties": {"a": TEXT}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
            "status": {"type": "object", "properties": {"phase": TEXT}},
        },
    }
)
STATUS = managed_fields.reset_fields("metadata", "spec")
Entries = dict[tuple[str, str], Any]


def apply(live: Mapping[str, Any] | None, configuration: Mapping[str, Any], manager: str, **more: Any) -> Any:
    return server_side_apply.apply(THING, live, configuration, manager=manager, api_version="g/v1", now=NOW, **more)


def create(obj: Mapping[str, Any]) -> Any:
    entries = managed_fields.update(THING, None, obj, manager="m", api_version="g/v1", now=NOW)
    return {**obj, "metadata": {**obj.get("metadata", {}), "managedFields": entries}}


def owned(obj: Any) -> Entries:
    entries = obj["metadata"].get("managedFields", ())
    return {(entry["manager"], entry.get("subresource", "")): entry["fieldsV1"] for entry in entries}


def test_who_makes_a_custom_object_owns_its_mappings_and_not_its_metadata() -> None:
    made = create({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"text": "t"}})
    assert owned(made) == {
        ("m", ""): {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {".": {}, "f:text": {}}}
    }


def test_an_empty_list_of_elements_states_nothing() -> None:
    assert owned(apply(None, {"spec": {"tags": [], "nested": {}}}, "a")) == {("a", ""): {"f:spec": {"f:nested": {}}}}
    assert owned(apply(None, {"spec": {"tags": []}}, "a")) == {}


def test_before_the_first_apply_is_what_its_endpoint_writes() -> None:
    live = {"metadata": {"labels": {"a": "b"}}, "spec": {"text": "t"}, "status": {"phase": "p"}}
    on_status = apply(live, {"status": {}}, "a", reset=STATUS, subresource="status")
    assert owned(on_status)["before-first-apply", "status"] == {"f:status": {".": {}, "f:phase": {}}}
    on_object = apply(live, {"spec": {}}, "a", reset=managed_fields.reset_fields("status"))
    assert owned(on_object)["before-first-apply", ""] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {".": {}, "f:text": {}},
    }


def test_a_mapping_that_becomes_a_list_takes_its_fields_with_it() -> None:
    live = apply(None, {"spec": {"free": {"a": {"b": "c"}}}}, "a")
    changed = apply(live, {"spec": {"free": {"a": [1]}}}, "b", force=True)
    assert owned(changed) == {("b", ""): {"f:spec": {"f:free": {"f:a": {}}}}}


@pytest.mark.parametrize(("old", "new"), [(1, True), ([1], [True]), ({"b": 0}, {"b": False})])
def test_truth_is_no_number(old: Any, new: Any) -> None:
    one, other = ({"spec": {"free": {"a": each}}} for each in (old, new))
    assert typed_values.compare(THING, one, other).modified
    assert not strategies.identical(one, other)


def test_conflicts_name_what_is_near_first() -> None:
    live = apply(None, {"spec": {"nested": {"a": "1"}, "text": "1", "free": {"z": "1"}}}, "a")
    with pytest.raises(server_side_apply.ApplyConflict) as conflict:
        apply(live, {"spec": {"nested": {"a": "2"}, "text": "2", "free": {"z": "2"}}}, "b")
    assert conflict.value.message == (
        'Apply failed with 3 conflicts: conflicts with "a":\n- .spec.text\n- .spec.free.z\n- .spec.nested.a'
    )


def test_what_only_the_live_list_has_keeps_its_place_among_what_both_have() -> None:
    live = {"spec": {"tags": ["c", "a", "b"]}}
    merged = typed_values.merge(THING, live, {"spec": {"tags": ["b", "x", "c"]}})
    assert merged["spec"]["tags"] == ["a", "b", "x", "c"]


def test_what_another_endpoint_writes_makes_an_apply_one_that_says_something() -> None:
    live = apply(None, {"spec": {"text": "t"}}, "a")
    without, along = (
        apply(live, {"spec": {"text": "t"}, **more}, "b", reset=managed_fields.reset_fields("status"))
        for more in ({}, {"status": {"phase": "p"}})
    )
    times = [
        {entry["manager"]: entry.get("time") for entry in obj["metadata"]["managedFields"]} for obj in (without, along)
    ]
    assert times == [
        {"a": "2026-01-01T00:00:00Z", "b": None},
        {"a": "2026-01-01T00:00:00Z", "b": "2026-01-01T00:00:00Z"},
    ]


@pytest.mark.parametrize("held", [{"free": {"a": {"b": "x"}}}, {"nested": {"a": "x"}}, {"tags": ["a"]}])
def test_null_takes_the_place_of_no_mapping_or_list_that_holds_something(held: dict[str, Any]) -> None:
    (name,) = held
    null = {"free": {"a": None}} if name == "free" else {name: None}
    assert typed_values.merge(THING, {"spec": held}, {"spec": null}) == {"spec": held}
    assert typed_values.merge(THING, {"spec": {"text": "x"}}, {"spec": {"text": None}}) == {"spec": {"text": None}}
