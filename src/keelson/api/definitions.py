"""The OpenAPI definitions of Kubernetes v1.36, where they come from and in which form they travel.

A checkout reads them from the `kubernetes-validate` distribution; a host has no such package but the two compact files
that `compact` and `compact_descriptions` wrote into the release bundle. Prose is most of the bytes and only OpenAPI
documents show it, so it lies in a file of its own that an idle API server never reads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import orjson

from keelson.api.resources import BUILT_IN

VERSION = "v1.36.0"
SCHEMAS_FILE = "schemas.json"
DESCRIPTIONS_FILE = "descriptions.json"
DETAILS_FILE = "openapi_details.json"

Definitions = Mapping[str, Mapping[str, Any]]

# Kinds that are no resource's own but travel through subresources, options, lists or watches.
_EXTRA_ROOTS = (
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
    "io.k8s.apimachinery.pkg.version.Info",
)
_REF = "#/$defs/"


def _simplified(node: Mapping[str, Any], *, field: str = "") -> dict[str, Any]:
    """A definition without prose, with plain types and with references by bare name."""
    result: dict[str, Any] = {}
    for key, value in node.items():
        match key:
            case "description":
                continue
            case "type":
                result[key] = next(t for t in value if t != "null") if isinstance(value, list) else value
            case "$ref":
                result[key] = value.removeprefix(_REF)
            case "properties":
                result[key] = {name: _simplified(child, field=name) for name, child in value.items()}
            case "items" | "additionalProperties":
                result[key] = _simplified(value)
            case "enum":
                # The distribution pins apiVersion and kind; the group-version-kind says that already.
                if field not in ("apiVersion", "kind"):
                    result[key] = value
            case _:
                result[key] = value
    return result


def _references(node: Mapping[str, Any]) -> Iterable[str]:
    if "$ref" in node:
        yield node["$ref"]
    for child in node.get("properties", {}).values():
        yield from _references(child)
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _references(node[key])


def _gvks(node: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {(g["group"], g["version"], g["kind"]) for g in node.get("x-kubernetes-group-version-kind", ())}


def _served(definitions: Definitions) -> dict[str, dict[str, Any]]:
    """What the built-in resources reach, simplified and in name order."""
    wanted = {(r.group, r.version, r.kind) for r in BUILT_IN} | {
        (r.group, r.version, f"{r.kind}List") for r in BUILT_IN
    }
    pending = [n for n, node in definitions.items() if n in _EXTRA_ROOTS or _gvks(node) & wanted]
    found: dict[str, dict[str, Any]] = {}
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = _simplified(definitions[name])
            pending.extend(_references(found[name]))
    return dict(sorted(found.items()))


def compact(definitions: Definitions) -> bytes:
    """The bundle's `_data/schemas.json`: what the built-in resources need, without prose.

    `definitions` is the `$defs` mapping of the distribution (see `distribution`).
    """
    return orjson.dumps(_served(definitions), option=orjson.OPT_SORT_KEYS)


def compact_descriptions(definitions: Definitions) -> bytes:
    """The bundle's `_data/descriptions.json`: {definition: {"": its description, property: its description}}."""
    prose: dict[str, dict[str, str]] = {}
    for name in _served(definitions):
        node = definitions[name]
        texts = {"": node.get("description", "")}
        texts |= {key: child.get("description", "") for key, child in node.get("properties", {}).items()}
        prose[name] = {key: text for key, text in texts.items() if text}
    return orjson.dumps(prose, option=orjson.OPT_SORT_KEYS)


def distribution() -> Definitions:
    """The `$defs` that the `kubernetes-validate` distribution carries; LookupError where it isn't installed."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(
            f"no API definitions: neither keelson/api/_data/{SCHEMAS_FILE} nor the package kubernetes-validate is here"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    document = orjson.loads((root / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json").read_bytes())
    found: Definitions = document["$defs"]
    return found


def _packaged(name: str) -> Traversable:
    return files("keelson.api").joinpath("_data", name)


@cache
def definitions() -> Definitions:
    """Every definition that is served, by name, in the compact form."""
    packaged = _packaged(SCHEMAS_FILE)
    if packaged.is_file():
        found: Definitions = orjson.loads(packaged.read_bytes())
        return found
    return _served(distribution())


def descriptions() -> Mapping[str, Mapping[str, str]]:
    """The prose of every definition; read anew at each call, for nobody needs to keep it."""
    packaged = _packaged(DESCRIPTIONS_FILE)
    raw = packaged.read_bytes() if packaged.is_file() else compact_descriptions(distribution())
    found: Mapping[str, Mapping[str, str]] = orjson.loads(raw)
    return found


def details() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """What documents say beyond the definitions: {definition: {property: its "enum", its "default"}}.

    What is said of a list's or map's values is below "items" or "additionalProperties" of the property. Made by
    tools/openapi_details.py; read anew at each call, as prose is.
    """
    found: Mapping[str, Mapping[str, Mapping[str, Any]]] = orjson.loads(
        files("keelson.api").joinpath("_gen", DETAILS_FILE).read_bytes()
    )
    return found
