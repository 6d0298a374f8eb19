"""What aggregated servers say that they serve, spoiled: discovery, OpenAPI, lists and events.

And what clients demand of the documents in which it is shown together with what others serve: they decode the whole of
it into types, so that one wrong type of one server takes all groups from them.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as some

from tests.faults.fuzzing.answers import answers, http
from tests.faults.fuzzing.requests import VALUES, dumped, spoiled

GROUP = "lies.example.org"
_PATH = f"apis/{GROUP}/v1"
_KIND = {"group": GROUP, "version": "v1", "kind": "Thing"}
RESOURCES: dict[str, Any] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1",
    "resources": [
        {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get", "list"]},
        {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
    ],
}
_AGGREGATED = {
    "kind": "APIGroupDiscoveryList",
    "apiVersion": "apidiscovery.k8s.io/v2",
    "items": [
        {
            "metadata": {"name": GROUP},
            "versions": [
                {
                    "version": "v1",
                    "resources": [
                        {
                            "resource": "things",
                            "scope": "Namespaced",
                            "singularResource": "thing",
                            "verbs": ["get"],
                            "responseKind": _KIND,
                            "shortNames": ["t"],
                            "categories": ["all"],
                            "subresources": [{"subresource": "status", "responseKind": _KIND, "verbs": ["get"]}],
                        }
                    ],
                }
            ],
        }
    ],
}
_INDEX = {"paths": {_PATH: {"serverRelativeURL": f"/openapi/v3/{_PATH}?hash=A"}}}
_SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "lies", "version": "v1"},
    "paths": {
        f"/{_PATH}/things": {
            "get": {
                "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/lies.Thing"}}},
                "parameters": [{"name": "limit", "in": "query", "type": "integer"}],
            }
        }
    },
    "definitions": {"lies.Thing": {"type": "object", "properties": {"spec": {"$ref": "#/definitions/lies.Spec"}}}},
}
_THINGS = {"kind": "ThingList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": [{"metadata": {"name": "one"}}]}
_EVENT = {"type": "ADDED", "object": {"kind": "Thing", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "one"}}}
_SOUND = [RESOURCES, _AGGREGATED, _INDEX, _SWAGGER, _THINGS, _EVENT]
_DEEP = [b"[" * depth + b"]" * depth for depth in (900, 100_000)] + [b'{"paths":' * 900 + b"1" + b"}" * 900]
_DISCOVERY = b"Content-Type: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def sound(document: Any) -> bytes:
    """An honest answer."""
    body = dumped(document)
    return http(body).replace(b"Length: @", b"Length: %d" % len(body))


@some.composite
def documents(draw: some.DrawFn) -> bytes:
    """A document that is nearly right, or deep, or something else."""
    if draw(some.integers(0, 9)) == 0:
        return draw(some.sampled_from(_DEEP))
    document: Any = draw(some.sampled_from(_SOUND))
    return dumped(draw(some.one_of(spoiled(document), spoiled(document), some.just(document), VALUES)))


@some.composite
def typed_answers(draw: some.DrawFn) -> bytes:
    """An answer with such a document, mostly sound as HTTP, and often said to be aggregated discovery."""
    if draw(some.integers(0, 4)) == 0:
        return draw(answers(documents()))
    body: bytes = draw(documents())
    reply = http(body).replace(b"Length: @", b"Length: %d" % len(body))
    aggregated: bool = draw(some.booleans())
    return reply.replace(b"Content-Type: application/json", _DISCOVERY) if aggregated else reply


def complaints(document: Any) -> list[str]:
    """What a client of types can't read in a list of groups or an APIGroupDiscoveryList."""
    found = []
    for item in document.get("items", ()):
        for version in item["versions"]:
            for row in version["resources"]:
                found += [f"{item['metadata']['name']}: {json.dumps(row)}"] * (not _is_row(row))
    for group in document.get("groups", ()):
        found += [json.dumps(group)] * (not all(isinstance(each["version"], str) for each in group["versions"]))
    return found


def _is_row(row: Any) -> bool:
    texts = ("resource", "scope", "singularResource")
    return (
        all(isinstance(row.get(key, ""), str) for key in texts)
        and _are_texts(row, "verbs", "shortNames", "categories")
        and _is_kind(row)
        and all(
            isinstance(each.get("subresource", ""), str) and _are_texts(each, "verbs") and _is_kind(each)
            for each in row.get("subresources", ())
        )
    )


def _are_texts(row: Any, *keys: str) -> bool:
    lists = [row.get(key) or [] for key in keys]
    return all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists)


def _is_kind(row: Any) -> bool:
    kind = row["responseKind"]
    return isinstance(kind, dict) and all(isinstance(kind.get(key, ""), str) for key in ("group", "version", "kind"))


def swagger_complaints(document: Any) -> list[str]:
    """What is no path item or definition in a Swagger document."""
    parts = [*document["paths"].items(), *document["definitions"].items()]
    return [f"{name}: {json.dumps(each)[:200]}" for name, each in parts if not isinstance(each, dict)]
