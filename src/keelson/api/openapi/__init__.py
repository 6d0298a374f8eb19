"""The API described to its clients: OpenAPI v3 by group and version (KEP-2896), and Swagger 2.0 in one document.

Documents are made when they are asked for and kept by nobody: they are large, and few clients want them. The server
decides how long it remembers the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from keelson.api import definitions
from keelson.api.openapi import components, discovery, operations
from keelson.api.openapi.merging import merge
from keelson.api.resources import Resource

__all__ = ["Custom", "Customs", "document_v3", "index_v3", "merge", "path_of", "place_v3", "swagger", "swagger_of"]


class Custom(NamedTuple):
    """What OpenAPI says of a custom resource: its version's structural schema as JSON, and the kind of its lists."""

    schema: bytes
    list_kind: str


# By (group, version, kind).
Customs = Mapping[tuple[str, str, str], Custom]

_SECURITY = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


def path_of(group: str, version: str) -> str:
    """The name of a group and version in the index of v3: "api/v1" or "apis/apps/v1"."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _grouped(resources: Iterable[Resource]) -> dict[tuple[str, str], list[Resource]]:
    found: dict[tuple[str, str], list[Resource]] = {}
    for resource in resources:
        found.setdefault((resource.group, resource.version), []).append(resource)
    return found


def _origin() -> bytes:
    """A digest of what makes documents: clients keep them for ever, whatever server of ours they came from."""
    digest = hashlib.sha256(definitions.VERSION.encode())
    sources = files(__package__).iterdir()
    for source in sorted((each for each in sources if each.name.endswith(".py")), key=lambda each: each.name):
        digest.update(source.read_bytes())
    digest.update(orjson.dumps(definitions.details()))
    return digest.digest()


def _digest(origin: bytes, found: Iterable[Resource], customs: Customs) -> str:
    """Tells documents apart by what they are made of, so that the index need not make them."""
    digest = hashlib.sha256(origin)
    for resource in sorted(found, key=lambda each: each.plural):
        digest.update(repr(resource).encode())
        custom = customs.get((resource.group, resource.version, resource.kind))
        if custom is not None:
            digest.update(custom.schema)
    return digest.hexdigest().upper()


def _built_in(resources: Iterable[Resource], customs: Customs) -> list[Resource]:
    return [each for each in resources if (each.group, each.version, each.kind) not in customs]


def _places(resources: Iterable[Resource], customs: Customs) -> dict[str, discovery.Place]:
    return discovery.places({each.group for each in _built_in(resources, customs)})


def index_v3(resources: Iterable[Resource], customs: Customs | None = None) -> dict[str, Any]:
    """`/openapi/v3`: where each document is; its address changes with its content."""
    origin, resources, customs = _origin(), list(resources), customs or {}
    digests = {
        path_of(*version): _digest(origin, found, customs) for version, found in _grouped(resources).items()
    } | dict.fromkeys(_places(resources, customs), origin.hex().upper())
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"} for path, digest in sorted(digests.items())
        }
    }


def _custom_name(group: str, version: str, kind: str) -> str:
    """Definitions are named like Java packages: example.com becomes com.example."""
    return ".".join([*reversed(group.split(".")), version, kind])


def _described(found: Iterable[Resource], customs: Customs, *, v3: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths and definitions of resources."""
    found = list(found)
    names = components.names_by_kind()
    make = operations.Paths(v3=v3)
    roots: set[str] = set()
    paths: dict[str, Any] = {}
    for resource in _built_in(found, customs):
        name = names[resource.group, resource.version, resource.kind]
        roots |= {name} | operations.reached(resource)
        list_name = names.get((resource.group, resource.version, f"{resource.kind}List"), name)
        roots.add(list_name)
        paths.update(make.of(resource, name, list_name))
        place = discovery.of_version(resource.group, resource.version)
        if place.path not in paths:
            paths[place.path] = discovery.item(place, v3=v3)
            roots.add(place.definition)
    own: dict[str, Any] = {}
    if customs:
        roots |= components.CUSTOM_ROOTS
        if any("scale" in each.subresources for each in found):
            roots.add(operations.SCALE)
        mine, own = _described_customs(found, customs, components.common_properties(v3=v3), v3=v3)
        paths.update(mine)
    return dict(sorted(paths.items())), {**components.components(roots, v3=v3), **own}


def _described_customs(
    found: Iterable[Resource], customs: Customs, common: Mapping[str, Any], *, v3: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths of custom resources and the definitions that are their own."""
    make = operations.Paths(v3=v3, custom=True)
    own: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for resource in found:
        key = (resource.group, resource.version, resource.kind)
        custom = customs.get(key)
        if custom is None:
            continue
        name = _custom_name(*key)
        list_name = _custom_name(resource.group, resource.version, custom.list_kind)
        own[name] = components.custom(*key, orjson.loads(custom.schema), common, v3=v3)
        own[list_name] = components.custom_list(resource, custom.list_kind, name, common, v3=v3)
        paths.update(make.of(resource, name, list_name))
    return paths, own


def _document_v3(paths: Mapping[str, Any], schemas: Mapping[str, Any], release: str) -> bytes:
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": paths,
        "components": {**({"schemas": schemas} if schemas else {}), "securitySchemes": {"BearerToken": _SECURITY}},
    }
    return orjson.dumps(document)


def document_v3(
    resources: Iterable[Resource], group: str, version: str, *, release: str, customs: Customs | None = None
) -> bytes | None:
    """The OpenAPI v3 document of one group and version; None where nothing is served there.

    `release` is the API's version, such as "1.36".
    """
    found = _grouped(resources).get((group, version))
    if found is None:
        return None
    mine = {
        key: custom for each in found if (custom := (customs or {}).get(key := (each.group, each.version, each.kind)))
    }
    paths, schemas = _described(found, mine, v3=True)
    return _document_v3(paths, components.of_version(schemas, group, version), release)


def place_v3(resources: Iterable[Resource], path: str, *, release: str, customs: Customs | None = None) -> bytes | None:
    """The OpenAPI v3 document of a path that tells what a server has, such as "version"; None where there is none."""
    place = _places(resources, customs or {}).get(path)
    if place is None:
        return None
    schemas = components.components([place.definition], v3=True)
    return _document_v3({place.path: discovery.item(place, v3=True)}, schemas, release)


def swagger(resources: Iterable[Resource], *, release: str, custom_kinds: bool = False) -> dict[str, Any]:
    """The Swagger 2.0 document of built-in resources, as a value.

    With `custom_kinds` it has what `swagger_of` refers to, too.
    """
    resources = list(resources)
    paths, schemas = _described(resources, {}, v3=False)
    places = _places(resources, {}).values()
    roots = {each.definition for each in places} | (
        {*components.CUSTOM_ROOTS, operations.SCALE} if custom_kinds else set()
    )
    paths |= {each.path: discovery.item(each, v3=False) for each in places}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": dict(sorted(paths.items())),
        "definitions": {**schemas, **components.components(roots, v3=False)},
        "securityDefinitions": {"BearerToken": _SECURITY},
        "security": [{"BearerToken": []}],
    }


def swagger_of(resources: Iterable[Resource], customs: Customs, common: Mapping[str, Any]) -> dict[str, Any]:
    """What custom resources add to the paths and definitions of a Swagger 2.0 document.

    `common` is `components.common_properties`, which takes longer to make than any of them.
    """
    paths, own = _described_customs(resources, customs, common, v3=False)
    return {"paths": paths, "definitions": own}
