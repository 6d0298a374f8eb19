"""Bounds and forms of managedFields that no story tells."""

from datetime import UTC, datetime, timedelta
from typing import Any

from keelson.api import schemas
from keelson.api.patches import managed_fields

CONFIG_MAP = schemas.of(schemas.Kind("v1", "ConfigMap"))
START = datetime(2026, 1, 1, tzinfo=UTC)


def _write(live: dict[str, Any] | None, data: dict[str, str], manager: str, hour: int) -> dict[str, Any]:
    new: dict[str, Any] = {"metadata": {"name": "x"}, "data": data}
    entries = managed_fields.update(
        CONFIG_MAP, live, new, manager=manager, api_version="v1", now=START + timedelta(hours=hour)
    )
    managed_fields.set_on(new, entries)
    return new


def test_entry() -> None:
    assert _write(None, {"a": "1"}, "m", 0)["metadata"]["managedFields"] == [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
        }
    ]


def test_time_moves_with_the_fields_only() -> None:
    first = _write(None, {"a": "1"}, "m", 0)
    assert _write(first, {"a": "1"}, "m", 1)["metadata"] == first["metadata"]
    assert _write(first, {"a": "2"}, "m", 1)["metadata"]["managedFields"][0]["time"] == "2026-01-01T01:00:00Z"


def test_what_an_endpoint_does_not_write_is_not_owned_by_it_nor_what_lies_below() -> None:
    daemon_set = schemas.of(schemas.Kind("apps/v1", "DaemonSet"))
    new = {"metadata": {"name": "x"}, "spec": {"revisionHistoryLimit": 1}, "status": {"numberReady": 0}}
    (entry,) = managed_fields.update(
        daemon_set,
        None,
        new,
        manager="m",
        api_version="apps/v1",
        now=START,
        reset=managed_fields.reset_fields("status"),
    )
    assert entry["fieldsV1"] == {"f:spec": {"f:revisionHistoryLimit": {}}}


def test_updaters_are_bounded() -> None:
    live: dict[str, Any] | None = None
    data: dict[str, str] = {}
    for number in range(15):
        data = {**data, f"k{number}": "x"}
        live = _write(live, data, f"m{number:02}", number)
    assert live is not None
    entries = live["metadata"]["managedFields"]
    assert len(entries) == managed_fields.MAX_UPDATERS
    ancient = entries[0]
    assert ancient["manager"] == "ancient-changes"
    assert ancient["time"] == "2026-01-01T05:00:00Z"
    assert set(ancient["fieldsV1"]["f:data"]) == {".", "f:k0", "f:k1", "f:k2", "f:k3", "f:k4", "f:k5"}


def test_manager_of_a_user_agent() -> None:
    assert managed_fields.manager_of("kubectl/v1.36.0 (linux/amd64)") == "kubectl"
    assert managed_fields.manager_of("") == "unknown"


def test_fields_are_written_in_order() -> None:
    first = _write(None, {"b": "1", "c": "1"}, "m", 0)
    second = _write(first, {"b": "1", "c": "1", "a": "1"}, "m", 1)
    (entry,) = second["metadata"]["managedFields"]
    assert list(entry["fieldsV1"]["f:data"]) == [".", "f:a", "f:b", "f:c"]


def test_an_empty_list_forgets_and_a_missing_one_does_not() -> None:
    first = _write(None, {"a": "1"}, "m", 0)
    kept = {"metadata": {"name": "x"}, "data": {"a": "1"}}
    assert managed_fields.update(CONFIG_MAP, first, kept, manager="n", api_version="v1", now=START)
    emptied = {"metadata": {"name": "x", "managedFields": []}, "data": {"a": "1"}}
    assert managed_fields.update(CONFIG_MAP, first, emptied, manager="n", api_version="v1", now=START) == []


def test_entries_that_a_client_renames_into_one_are_one() -> None:
    first = _write(_write(None, {"a": "1"}, "m", 0), {"a": "1", "b": "2"}, "n", 1)
    renamed = {**first, "metadata": {**first["metadata"]}}
    renamed["metadata"]["managedFields"] = [{**e, "manager": "o"} for e in first["metadata"]["managedFields"]]
    (entry,) = managed_fields.update(CONFIG_MAP, first, renamed, manager="p", api_version="v1", now=START)
    assert entry["manager"] == "o"
    # The last one's, as upstream reads such a list.
    assert set(entry["fieldsV1"]["f:data"]) == {"f:b"}
