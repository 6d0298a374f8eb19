"""The paths that tell what a server has, in both dialects of OpenAPI: versions, groups, resources, keys of tokens.

In v3 each has a document of its own, but for those of resources, which stand in their version's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from keelson.api.openapi.operations import ENCODINGS, JSON, TEXT, camel, responses, tag

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"


class Place(NamedTuple):
    """A path that is only read."""

    path: str
    tag: str
    operation: str
    told: str
    definition: str
    produced: tuple[str, ...] = ENCODINGS
    consumed: tuple[str, ...] = ENCODINGS


_FIXED = {
    "version": Place(
        "/version/",
        "version",
        "getCodeVersion",
        "get the version information for this server",
        "io.k8s.apimachinery.pkg.version.Info",
        (JSON,),
        (JSON,),
    ),
    "api": Place("/api/", "core", "getCoreAPIVersions", "get available API versions", f"{_META}.APIVersions"),
    "apis": Place("/apis/", "apis", "getAPIVersions", "get available API versions", f"{_META}.APIGroupList"),
    ".well-known/openid-configuration": Place(
        "/.well-known/openid-configuration/",
        "WellKnown",
        "getServiceAccountIssuerOpenIDConfiguration",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        TEXT,
        (JSON,),
        (),
    ),
    "openid/v1/jwks": Place(
        "/openid/v1/jwks/",
        "openid",
        "getServiceAccountIssuerOpenIDKeyset",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        TEXT,
        ("application/jwk-set+json",),
        (),
    ),
}


def places(groups: Iterable[str]) -> dict[str, Place]:
    """What has a document of its own, by the document's name; `groups` are those of built-in resources."""
    found = dict(_FIXED)
    for group in groups:
        if group:
            name = f"get{camel(group)}APIGroup"
            path = f"apis/{group}"
            found[path] = Place(f"/{path}/", tag(group), name, "get information of a group", f"{_META}.APIGroup")
    return found


def of_version(group: str, version: str) -> Place:
    """The path that tells of the resources of a built-in group's version."""
    return Place(
        f"/apis/{group}/{version}/" if group else f"/api/{version}/",
        tag(group, version),
        f"get{camel(group)}{version.capitalize()}APIResources",
        "get available resources",
        f"{_META}.APIResourceList",
    )


def item(place: Place, *, v3: bool) -> dict[str, Any]:
    """What can be done at a path."""
    made: dict[str, Any] = {
        "tags": [place.tag],
        "description": place.told,
        "operationId": place.operation,
        "responses": responses(place.definition, {"200": "OK"}, place.produced, v3=v3),
    }
    if not v3:
        made |= {"produces": list(place.produced), "schemes": ["https"]}
        if place.consumed:
            made["consumes"] = list(place.consumed)
    return {"get": made}
