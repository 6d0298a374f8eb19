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
