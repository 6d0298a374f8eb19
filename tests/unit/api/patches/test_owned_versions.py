"""Who owns what where versions have their fields in different places: one field of v1 is two of v2."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from keelson.api import schemas
from keelson.api.patches import managed_fields, server_side_apply

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = {"type": "string"}


def _schema(*fields: str) -> schemas.Schema:
    spec = {"type": "object", "properties": dict.fromkeys((*fields, "note"), TEXT)}
    return schemas.structural({"type": "object", "properties": {"spec": spec}})


SCHEMAS = {"g/v1": _schema("hostPort"), "g/v2": _schema("host", "port")}


def convert(obj: Mapping[str, Any], api_version: str) -> Mapping[str, Any]:
    made = copy.deepcopy(dict(obj))
    spec = made.setdefault("spec", {})
    made["apiVersion"] = api_version
    if api_version == "g/v2" and "hostPort" in spec:
        spec["host"], _, spec["port"] = spec.pop("hostPort").partition(":")
    elif api_version == "g/v1" and ("host" in spec or "port" in spec):
        spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
    return made


VERSIONS = managed_fields.Versions(SCHEMAS, convert)


def apply(live: Mapping[str, Any] | None, version: str, manager: str, *, force: bool = False, **spec: str) -> Any:
    configuration = {"apiVersion": version, "kind": "K", "metadata": {"name": "a"}, "spec": spec}
    return server_side_apply.apply(
        SCHEMAS[version],
        None if live is None else convert(live, version),
        configuration,
        manager=manager,
        api_version=version,
        now=NOW,
        force=force,
        versions=VERSIONS,
    )


def owned(obj: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    return {
        entry["manager"]: (entry["apiVersion"], sorted(entry["fieldsV1"]["f:spec"]))
        for entry in obj["metadata"]["managedFields"]
    }


def test_a_conflict_is_told_in_the_version_of_who_owns() -> None:
    live = apply(None, "g/v1", "a", hostPort="h:1")
    with pytest.raises(server_side_apply.ApplyConflict) as caught:
        apply(live, "g/v2", "b", port="2")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [".spec.hostPort"]
    taken = apply(live, "g/v2", "b", force=True, port="2")
    assert taken["spec"] == {"host": "h", "port": "2"}
    assert owned(taken) == {"b": ("g/v2", ["f:port"])}


def test_what_is_the_same_in_every_version_is_shared() -> None:
    live = apply(None, "g/v1", "a", hostPort="h:1", note="n")
    both = apply(live, "g/v2", "b", note="n", port="1")
    assert owned(both) == {"a": ("g/v1", ["f:hostPort", "f:note"]), "b": ("g/v2", ["f:note", "f:port"])}


def test_who_goes_on_in_another_version_takes_away_what_it_no_longer_states() -> None:
    live = apply(None, "g/v1", "a", hostPort="h:1", note="n")
    later = apply(live, "g/v2", "a", note="n")
    assert later["spec"] == {"note": "n"}
    assert owned(later) == {"a": ("g/v2", ["f:note"])}


def test_what_others_own_in_their_version_stays() -> None:
    live = apply(None, "g/v1", "a", hostPort="h:1", note="n")
    live = apply(live, "g/v2", "b", host="h", port="1")
    later = apply(live, "g/v1", "a", note="n")
    assert later["spec"] == {"note": "n", "hostPort": "h:1"}
    assert owned(later) == {"a": ("g/v1", ["f:note"]), "b": ("g/v2", ["f:host", "f:port"])}


def test_an_update_takes_from_owners_in_their_versions() -> None:
    live = convert(apply(None, "g/v1", "a", hostPort="h:1", note="n"), "g/v2")
    new = copy.deepcopy(dict(live))
    new["spec"]["port"] = "2"
    entries = managed_fields.update(
        SCHEMAS["g/v2"], live, new, manager="b", api_version="g/v2", now=NOW, versions=VERSIONS
    )
    assert owned({"metadata": {"managedFields": entries}}) == {"a": ("g/v1", ["f:note"]), "b": ("g/v2", ["f:port"])}


def test_owners_in_a_version_that_is_no_more_own_nothing() -> None:
    live = apply(None, "g/v1", "a", hostPort="h:1")
    live["metadata"]["managedFields"][0]["apiVersion"] = "g/v0"
    assert owned(apply(live, "g/v1", "b", hostPort="h:2")) == {"b": ("g/v1", ["f:hostPort"])}
