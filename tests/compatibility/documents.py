"""OpenAPI documents of two servers, compared member by member."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.compatibility.wires import Wire

_VALUES = "\n\nPossible enum values:\n"


def fetched(wire: Wire) -> dict[str, Any]:
    """All documents of a server, by name: those of the index of v3, and "v2"."""
    found = {path: said(wire, place["serverRelativeURL"]) for path, place in said(wire, "/openapi/v3")["paths"].items()}
    return {**found, "v2": _resolved(said(wire, "/openapi/v2"))}


def said(wire: Wire, path: str) -> Any:
    """An answer that is JSON, whatever its headers call it."""
    answer = wire.done("GET", path)
    return json.loads(answer) if isinstance(answer, str) else answer


def _resolved(swagger: dict[str, Any]) -> dict[str, Any]:
    """A Swagger document with its shared parameters where they are used."""
    shared = swagger.pop("parameters", {})

    def of(holder: dict[str, Any]) -> None:
        if "parameters" in holder:
            found = [shared.get(each.get("$ref", "").rpartition("/")[2], each) for each in holder["parameters"]]
            holder["parameters"] = found

    for item in swagger["paths"].values():
        of(item)
        for method, operation in item.items():
            if method != "parameters":
                of(operation)
    return swagger


def _meant(value: Any, key: str, holder: Mapping[str, Any]) -> Any:
    """A value without what is said in words of one's own, and without an order that nobody relies on."""
    if key == "description" and "in" in holder:
        return ""
    if key == "description" and isinstance(value, str):
        text, _, values = value.partition(_VALUES)
        return [" ".join(text.split()), *re.findall(r'^ - `"[^"]*"`', values, re.M)]
    if isinstance(value, dict):
        return {name: _meant(child, name, value) for name, child in value.items()}
    if isinstance(value, list):
        found = [_meant(child, "", {}) for child in value]
        if key in ("parameters", "consumes", "produces", "x-kubernetes-group-version-kind"):
            found.sort(key=lambda each: json.dumps(each, sort_keys=True))
        return found
    return value


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where two sets of documents differ, as a path of members, and how."""
    yield from _different(_meant(theirs, "", {}), _meant(ours, "", {}), "")


def _different(theirs: Any, ours: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted({*theirs, *ours}):
            where = f"{place} {name}".lstrip()
            if name not in ours:
                yield where, "lacks"
            elif name not in theirs:
                yield where, "has beside"
            else:
                yield from _different(theirs[name], ours[name], where)
    elif theirs != ours:
        yield place, f"{theirs!r:.200} became {ours!r:.200}"
