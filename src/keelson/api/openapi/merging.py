"""Swagger documents of several servers made one: only what was asked for is taken, and names that clash are changed.

Rules: kube-openapi's aggregator. Of another server's document only the paths of its group and version count, with the
definitions that these need; a definition of a name that means something else here already gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PREFIX = "#/definitions/"
_DEEPEST = 200
_GVK = "x-kubernetes-group-version-kind"

Document = dict[str, Any]


def _references(node: Any) -> Iterator[str]:
    """The names of the definitions that a part of a document refers to."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            reference = found.get("$ref")
            if isinstance(reference, str) and reference.startswith(_PREFIX):
                yield reference[len(_PREFIX) :]
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def selected(document: Mapping[str, Any], prefix: str) -> Document:
    """The paths below `prefix` ("/apis/GROUP/VERSION/") of a Swagger document, and the definitions that they need.

    Raises TypeError and AttributeError for a document of other types, ValueError for one that is nested too deep: what
    clients can't read of one server would take the document of all from them.
    """
    paths = {path: item for path, item in (document.get("paths") or {}).items() if path.startswith(prefix)}
    known = document.get("definitions") or {}
    needed: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            waiting += _references(known[name])
    for each in (*paths.values(), *needed.values()):
        if not isinstance(each, dict):
            raise TypeError("a path or definition is no object")
        _check_depth(each)
    return {"paths": paths, "definitions": needed}


def _check_depth(node: Any) -> None:
    level = [node]
    for _ in range(_DEEPEST):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {_DEEPEST} levels")


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        changed = {key: _renamed(value, names) for key, value in node.items()}
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(_PREFIX):
            name = reference[len(_PREFIX) :]
            changed["$ref"] = _PREFIX + names.get(name, name)
        return changed
    if isinstance(node, list):
        return [_renamed(each, names) for each in node]
    return node


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two definitions say the same but for the kinds that they serve."""
    return {**first, _GVK: None} == {**second, _GVK: None}


def merge(document: Document, part: Mapping[str, Any]) -> None:
    """Add what `selected` took of another server's document to `document`, whose own paths and names stay."""
    definitions = document["definitions"]
    names: dict[str, str] = {}
    for name, definition in part["definitions"].items():
        if name not in definitions or _same(definitions[name], definition):
            continue
        number = 2
        while f"{name}_v{number}" in definitions or f"{name}_v{number}" in part["definitions"]:
            number += 1
        names[name] = f"{name}_v{number}"
    for name, definition in part["definitions"].items():
        definitions.setdefault(names.get(name, name), _renamed(definition, names))
    for path, item in part["paths"].items():
        document["paths"].setdefault(path, _renamed(item, names))
