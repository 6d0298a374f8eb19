"""What `kubectl get` prints: the server makes the table, so that clients need not know kinds.

A Table holds rows of cells and, beside each, as much of the object as the client asked for. Columns and their order are
upstream's, kind by kind (API conventions, "Receiving resources as Tables"). Clock is an argument: ages are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.schemas import Typed
from keelson.api.tables import cells, clusters, networks, paths, pods, policies, workloads
from keelson.api.tables.cells import Column, Printer

__all__ = ["Column", "Printer", "columns", "custom_columns", "printer", "row", "table"]

_PRINTERS: dict[tuple[str, str], Printer] = {
    **pods.PRINTERS,
    **workloads.PRINTERS,
    **networks.PRINTERS,
    **clusters.PRINTERS,
    **policies.PRINTERS,
}


def printer(resource: Typed) -> Printer:
    """How a built-in kind is printed; name and creation time where it has no columns of its own."""
    return _PRINTERS.get((resource.api_version, resource.kind), cells.DEFAULT)


def columns(resource: Typed) -> tuple[Column, ...]:
    """The columns of a built-in kind."""
    return printer(resource).columns


def row(resource: Typed, obj: Object, now: datetime) -> list[Any]:
    """The cells of one object of a built-in kind, as many as `columns`."""
    return printer(resource).cells(obj, now)


_AGE = Column("Age", "date", "", "How long ago the object was created.", 0)
_NAME = Column("Name", "string", "name", "The name, unique within a namespace.", 0)


def custom_columns(additional: Sequence[Mapping[str, Any]] | None) -> Printer:
    """How a custom resource is printed, from its CRD version's `additionalPrinterColumns`.

    Raises paths.PathError where a column's JSON path can't be read.
    """
    if not additional:
        return Printer((_NAME, _AGE), lambda obj, now: [meta.name(obj), cells.age(obj, now)])
    found = tuple(
        Column(c["name"], c["type"], c.get("format", ""), c.get("description", ""), c.get("priority", 0))
        for c in additional
    )
    finders = [(paths.compile_path(c["jsonPath"]), c["type"]) for c in additional]

    def make(obj: Object, now: datetime) -> list[Any]:
        return [meta.name(obj), *(_custom_cell(find(obj), kind, now) for find, kind in finders)]

    return Printer((_NAME, *found), make)


def _custom_cell(values: list[Any], kind: str, now: datetime) -> Any:
    """The first value at a column's path, as the column's type wants it; null where it has another type."""
    if not values:
        return None
    value = values[0]
    match kind:
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            if not isinstance(value, str):
                return None
            try:
                return cells.since(value, now)
            except ValueError:
                return "<invalid>"
    if isinstance(value, str):
        return value
    return _shown(value) if len(values) == 1 else ",".join(_shown(item) for item in values)


def _shown(value: Any) -> str:
    """A JSON value as a cell of type string shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_shown(item) for item in value) + "]"
    return "<nil>" if value is None else str(value)


def _partial(obj: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj.get("metadata") or {},
    }


def table(
    resource: Typed,
    objects: Iterable[Object],
    now: datetime,
    *,
    custom: Printer | None = None,
    include_object: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
    with_columns: bool = True,
) -> Object:
    """A whole metav1.Table.

    `custom` prints custom resources, whose kind alone says nothing (`custom_columns`). `include_object` is "None",
    "Metadata" or "Object" (TableOptions). A watch leaves the columns out after its first event (`with_columns`).
    """
    found = custom or printer(resource)
    if resource.kind == "FlowSchema":
        # The order in which they are tried.
        objects = sorted(
            objects, key=lambda obj: ((obj.get("spec") or {}).get("matchingPrecedence", 0), meta.name(obj))
        )
    rows = []
    for obj in objects:
        made: Object = {"cells": found.cells(obj, now)}
        if include_object == "Metadata":
            made["object"] = _partial(obj)
        elif include_object == "Object":
            made["object"] = obj
        rows.append(made)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": [column._asdict() for column in found.columns] if with_columns else None,
        "rows": rows,
    }
