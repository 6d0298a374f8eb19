"""Objects of every kind, changed where and as their schemas allow, and sent by every verb that takes a body.

What replaces a value is mostly of its type: a number that is out of range, a word that another field knows, a list of
what the list is of. So it passes the decoder, and meets defaulting, admission, validation and the comparison with what
is stored. The words are those that the API's own descriptions quote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as some

from keelson.api import definitions, resources
from tests.faults.fuzzing.requests import DRY, NUMBERS, TEXTS, VALUES, Case, corrupted, dumped, places

OBJECTS = Path(__file__).parents[2] / "compatibility" / "objects.yaml"
"""An object of every kind, each with fields of every type set; the namespaced ones in `exchange`."""

_QUOTED = re.compile(r"""[`'"]([A-Za-z0-9/*.][A-Za-z0-9/*._:-]{0,40})[`'"]""")
_DEEPEST = 8
# They lead to other machines, which are not there.
_ELSEWHERE = frozenset({"attach", "exec", "log", "portforward", "proxy"})
_SMALL = some.integers(-1, 70_000)
_NAMES = some.sampled_from(
    ["a", "seed", "rich", "web", "example.org/a", "kubernetes.io/os", "10.0.0.1", "fd00::1", "A", "-", "http", "1Gi"]
)
_QUANTITIES = some.sampled_from(["0", "1", "100m", "1Gi", "-1", "1e3", "0.5", "9" * 30, "1e-30", ".", "1Kii"])
_TIMES = some.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "0001-01-01T00:00:00Z", "x"])

Node = Mapping[str, Any]


@cache
def _definitions() -> definitions.Definitions:
    return definitions.definitions()


@cache
def _words(definition: str, field: str) -> tuple[str, ...]:
    """What the description of a field quotes: the values that it knows, mostly."""
    text = definitions.descriptions().get(definition, {}).get(field, "")
    return tuple(dict.fromkeys(_QUOTED.findall(text)))


@cache
def _root(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    gvk = {"group": group, "version": version, "kind": kind}
    return next(name for name, node in _definitions().items() if gvk in node.get("x-kubernetes-group-version-kind", ()))


def _at(node: Node, definition: str, path: tuple[Any, ...]) -> tuple[Node, str, str]:
    """The schema of the value at a path, the definition that it stands in, and its field there."""
    field = ""
    for key in path:
        if "$ref" in node:
            definition, node = node["$ref"], _definitions()[node["$ref"]]
        if isinstance(key, int):
            node = node.get("items", {})
        elif key in node.get("properties", {}):
            node, field = node["properties"][key], key
        else:
            node = node.get("additionalProperties", {})
    return node, definition, field


@some.composite
def values(draw: some.DrawFn, node: Node, definition: str, field: str, depth: int = 0) -> Any:
    """What the schema allows; `definition` and `field` are where it does."""
    if "$ref" in node:
        definition, node, field = node["$ref"], _definitions()[node["$ref"]], field
        if definition.endswith(".Quantity"):
            return draw(_QUANTITIES)
        if definition.endswith(".IntOrString"):
            return draw(some.one_of(_SMALL, some.sampled_from(["25%", "http", "101%", "-1%", "x"])))
    if "properties" in node:
        known = node["properties"]
        required = [name for name in node.get("required", ()) if name in known]
        others = sorted(known.keys() - set(required))
        most = 0 if depth >= _DEEPEST else 3
        chosen = draw(some.lists(some.sampled_from(others), max_size=most, unique=True)) if others else []
        return {name: draw(values(known[name], definition, name, depth + 1)) for name in (*required, *chosen)}
    deeper = 0 if depth >= _DEEPEST else 2
    match node.get("type"):
        case "array":
            items = node.get("items", {})
            return draw(some.lists(values(items, definition, field, depth + 1), max_size=deeper))
        case "object" if "additionalProperties" in node:
            inner = values(node["additionalProperties"], definition, field, depth + 1)
            return draw(some.dictionaries(_NAMES, inner, max_size=deeper))
        case "boolean":
            return draw(some.booleans())
        case "integer" | "number":
            return draw(some.one_of(_SMALL, _SMALL, NUMBERS))
        case "string" if node.get("format") == "date-time" or "Time" in definition:
            return draw(_TIMES)
        case "string":
            words = _words(definition, field)
            pool = [_NAMES, _NAMES, TEXTS]
            return draw(some.one_of(*([some.sampled_from(words)] * 5 if words else []), *pool))
        case _:
            return draw(VALUES)


@some.composite
def changed(draw: some.DrawFn, document: Mapping[str, Any]) -> dict[str, Any]:
    """An object with one to four of its values replaced, added, repeated or removed, mostly as its schema allows."""
    fresh: dict[str, Any] = json.loads(json.dumps(document))
    root = _root(fresh["apiVersion"], fresh["kind"])
    top = _definitions()[root]
    for _ in range(draw(some.integers(1, 4))):
        found = [path for path in places(fresh) if path[-1] not in ("apiVersion", "kind")]
        if not found:
            break
        path = draw(some.sampled_from(found))
        holder: Any = fresh
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        node, definition, field = _at(top, root, path)
        match draw(some.sampled_from(["replace", "replace", "add", "add", "repeat", "remove", "spoil"])):
            case "replace":
                holder[key] = draw(values(node, definition, field))
            case "add" if isinstance(holder[key], dict):
                if "$ref" in node:
                    definition, node = node["$ref"], _definitions()[node["$ref"]]
                if known := sorted(node.get("properties", {})):
                    name = draw(some.sampled_from(known))
                    holder[key][name] = draw(values(node["properties"][name], definition, name))
            case "add" if isinstance(holder[key], list):
                holder[key].append(draw(values(node.get("items", {}), definition, field)))
            case "repeat" if isinstance(holder, list):
                holder.append(json.loads(json.dumps(holder[key])))
            case "remove":
                del holder[key]
            case "spoil":
                holder[key] = draw(VALUES)
            case _:
                pass
    return fresh


@cache
def stored() -> list[tuple[resources.Resource, dict[str, Any]]]:
    """The objects of every kind that are to be stored first."""
    found = []
    for document in yaml.safe_load_all(OBJECTS.read_text(encoding="utf-8")):
        resource = resources.of_kind(document["apiVersion"], document["kind"])
        assert resource is not None, document["kind"]
        # Dates and times of YAML are text in JSON.
        found.append((resource, json.loads(json.dumps(document, default=str))))
    return found


@some.composite
def object_requests(draw: some.DrawFn) -> Case:
    """Writes of objects of any kind, one that is stored or as new, by every verb and in every form."""
    resource, seed = draw(some.sampled_from(stored()))
    document = draw(changed(seed))
    namespace, name = seed["metadata"].get("namespace", "exchange"), seed["metadata"]["name"]
    collection, path = resource.path(namespace), resource.path(namespace, name)
    subresources = sorted(set(resource.subresources) - _ELSEWHERE)
    if subresources and draw(some.integers(0, 3)) == 0:
        path = f"{path}/{draw(some.sampled_from(subresources))}"
    query = f"{DRY}&fieldValidation={draw(some.sampled_from(['Strict', 'Warn', 'Ignore']))}"
    body = dumped(document)
    if draw(some.integers(0, 15)) == 0:
        body = draw(corrupted(body))
    match draw(some.sampled_from(["create", "put", "apply", "strategic-merge", "merge", "delete"])):
        case "create":
            metadata = document.get("metadata")
            if isinstance(metadata, dict) and draw(some.booleans()):
                metadata["name"] = f"{name}2"
                body = dumped(document)
            return Case("POST", f"{collection}?{query}", body, "application/json")
        case "put":
            return Case("PUT", f"{path}?{query}", body, "application/json")
        case "apply":
            query += f"&fieldManager=fuzz&force={draw(some.sampled_from(['true', 'false']))}"
            return Case("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")
        case "delete":
            options = draw(values({"$ref": _root("v1", "DeleteOptions")}, "", ""))
            return Case("DELETE", f"{path}?{DRY}", dumped({**options, "dryRun": ["All"]}), "application/json")
        case kind:
            return Case("PATCH", f"{path}?{query}", body, f"application/{kind}-patch+json")
