"""The paths of a resource and what can be done at each, in both dialects of OpenAPI.

kubectl reads three things here: which kind lies at a path (`explain`), whether a PATCH knows `fieldValidation` (else it
validates by itself), and whether it knows `dryRun`. Client generators read the rest: names of operations, parameters
and answers are upstream's, for built-in and for custom resources, which differ in encodings and in small things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from keelson.api.openapi import parameters
from keelson.api.openapi.components import reference_v2, reference_v3
from keelson.api.resources import RETURNS_DELETED, Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS = f"{_META}.Status"
DELETE_OPTIONS = f"{_META}.DeleteOptions"
PATCH = f"{_META}.Patch"
WATCH_EVENT = f"{_META}.WatchEvent"
SCALE = "io.k8s.api.autoscaling.v1.Scale"
# What is no object: logs, streams.
TEXT: Final = "string"

JSON, YAML, _PROTOBUF, PLAIN = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
)
ENCODINGS = (JSON, YAML, _PROTOBUF)
_STREAMED = tuple(f"{each};stream=watch" for each in (JSON, _PROTOBUF))
_CUSTOM_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_PATCHES = (*_CUSTOM_PATCHES, "application/strategic-merge-patch+json")
_ANYTHING = ("*/*",)

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_SEEN = {"200": "OK"}
_WRITTEN = {**_SEEN, "201": "Created"}
_CREATED = {**_WRITTEN, "202": "Accepted"}
_DELETED = {**_SEEN, "202": "Accepted"}


class _Kind(NamedTuple):
    """What an operation is about: the kind that it names, and the definition of its objects."""

    group: str
    version: str
    kind: str
    definition: str = TEXT


_SCALE = _Kind("autoscaling", "v1", "Scale", SCALE)
# Subresources that have an object of another kind than the resource, which is created there.
_CREATED_BELOW = {
    "binding": _Kind("", "v1", "Binding", "io.k8s.api.core.v1.Binding"),
    "eviction": _Kind("policy", "v1", "Eviction", "io.k8s.api.policy.v1.Eviction"),
    "token": _Kind("authentication.k8s.io", "v1", "TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"),
}
# Subresources that are connections: by which methods, what they are told, and how their options are called.
_CONNECTIONS = {
    "attach": (("get", "post"), parameters.ATTACH, "AttachOptions"),
    "exec": (("get", "post"), ("command", *parameters.ATTACH), "ExecOptions"),
    "portforward": (("get", "post"), ("ports",), "PortForwardOptions"),
    "proxy": (_METHODS, ("path",), "ProxyOptions"),
}


def reached(resource: Resource) -> set[str]:
    """The definitions that paths of a built-in resource name beside its own."""
    found = {STATUS, DELETE_OPTIONS, PATCH, WATCH_EVENT} if len(resource.verbs) > 1 else set()
    if "scale" in resource.subresources:
        found.add(SCALE)
    return found | {_CREATED_BELOW[each].definition for each in resource.subresources if each in _CREATED_BELOW}


def camel(group: str) -> str:
    """A group as operations are named by: "rbac.authorization.k8s.io" is "RbacAuthorization"."""
    parts = re.split(r"[.-]", group.removesuffix(".k8s.io") or "core")
    return "".join(part[:1].upper() + part[1:] for part in parts)


def tag(group: str, version: str = "") -> str:
    """What operations of a group, or of its version, are listed below."""
    name = camel(group)
    return "_".join(filter(None, (name[:1].lower() + name[1:], version)))


def _one(noun: str) -> str:
    """A kind with its article, where its name is no plural."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return noun
    return f"{'an' if noun[:1] in 'AEIOU' else 'a'} {noun}"


class Paths:
    """Makes the path items of resources in one dialect; `custom` ones are those of CRDs."""

    def __init__(self, *, v3: bool, custom: bool = False) -> None:
        self._v3 = v3
        self._custom = custom
        self._refer = reference_v3 if v3 else reference_v2
        self._produced = (JSON, YAML) if custom else ENCODINGS
        self._consumed = (JSON, YAML) if custom else _ANYTHING
        self._streamed = () if custom else _STREAMED

    def of(self, resource: Resource, definition: str, list_definition: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The paths of a resource with what can be done there."""
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        own = _Kind(resource.group, resource.version, resource.kind, definition)
        below = f"/{resource.plural}"
        where: tuple[str, ...] = ()
        if resource.namespaced:
            if "list" in resource.verbs:
                across = [self._list(own, "", list_definition, resource, "ForAllNamespaces")]
                yield f"{base}{below}", self._item(own, (), across)
            below, where = f"/namespaces/{{namespace}}{below}", ("namespace",)
        scope = "Namespaced" if resource.namespaced else ""
        yield f"{base}{below}", self._item(own, where, self._on_collection(own, scope, list_definition, resource))
        where = (*where, "name")
        if {"get", "update", "patch", "delete"} & set(resource.verbs):
            yield f"{base}{below}/{{name}}", self._item(own, where, self._on_object(own, scope, resource))
        for subresource in resource.subresources:
            path = f"{base}{below}/{{name}}/{subresource}"
            yield path, self._item(own, where, self._below(own, scope, subresource))
            if subresource == "proxy":
                more = self._connections(own, scope, subresource, "WithPath")
                yield f"{path}/{{path}}", self._item(own, (*where, "path"), more)
        if "watch" in resource.verbs and not self._custom:
            yield from self._watches(base, below, where, own, scope)

    def _watches(
        self, base: str, below: str, where: Sequence[str], own: _Kind, scope: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The deprecated paths of watches."""
        instead = "deprecated: use the 'watch' parameter with a list operation instead"
        many = f"watch individual changes to a list of {own.kind}. {instead}."
        one = (
            f"watch changes to an object of kind {own.kind}. {instead}, "
            "filtered to a single item with the 'fieldSelector' parameter."
        )

        def item(where: Sequence[str], action: str, name: str, told: str) -> dict[str, Any]:
            event = own._replace(definition=WATCH_EVENT)
            operation = self._operation(
                action, event, f"watch{self._named(own)}{name}", told, parameters.LIST, _SEEN,
                produced=(*self._produced, *self._streamed),
            )  # fmt: skip
            return self._item(own, where, [("get", operation)])

        if scope:
            across = below.removeprefix("/namespaces/{namespace}")
            yield f"{base}/watch{across}", item((), "watchlist", f"{own.kind}ListForAllNamespaces", many)
        yield f"{base}/watch{below}", item(where[:-1], "watchlist", f"{scope}{own.kind}List", many)
        yield f"{base}/watch{below}/{{name}}", item(where, "watch", f"{scope}{own.kind}", one)

    def _list(
        self, own: _Kind, scope: str, list_definition: str, resource: Resource, suffix: str = ""
    ) -> tuple[str, dict[str, Any]]:
        watched = "or watch " if "watch" in resource.verbs and not self._custom else ""
        return "get", self._operation(
            "list",
            own._replace(definition=list_definition),
            f"list{self._named(own)}{scope}{own.kind}{suffix}",
            f"list {watched}objects of kind {own.kind}",
            parameters.LIST,
            _SEEN,
            produced=(*self._produced, *self._streamed),
        )

    def _on_collection(
        self, own: _Kind, scope: str, list_definition: str, resource: Resource
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        if "list" in resource.verbs:
            yield self._list(own, scope, list_definition, resource)
        if "create" in resource.verbs:
            yield "post", self._create(own, own, scope, f"create {_one(own.kind)}")
        if "deletecollection" in resource.verbs:
            yield (
                "delete",
                self._operation(
                    "deletecollection",
                    own._replace(definition=STATUS),
                    f"delete{self._named(own)}Collection{scope}{own.kind}",
                    f"delete collection of {own.kind}",
                    parameters.LIST if self._custom else parameters.DELETE_COLLECTION,
                    _SEEN,
                    body="" if self._custom else DELETE_OPTIONS,
                ),
            )

    def _create(self, own: _Kind, made: _Kind, scope: str, told: str, suffix: str = "") -> dict[str, Any]:
        name = f"create{self._named(own)}{scope}{own.kind}{suffix}"
        return self._operation("post", made, name, told, parameters.WRITE, _CREATED, body=made.definition)

    def _on_object(self, own: _Kind, scope: str, resource: Resource) -> Iterator[tuple[str, dict[str, Any]]]:
        changes = dict(self._changes(own, own, scope))
        for method, verb in (("get", "get"), ("put", "update"), ("patch", "patch")):
            if verb in resource.verbs:
                yield method, changes[method]
        if "delete" in resource.verbs:
            returned = not self._custom and resource.qualified in RETURNS_DELETED
            yield (
                "delete",
                self._operation(
                    "delete",
                    own if returned else own._replace(definition=STATUS),
                    f"delete{self._named(own)}{scope}{own.kind}",
                    f"delete {_one(own.kind)}",
                    parameters.DELETE,
                    _DELETED,
                    body=DELETE_OPTIONS,
                ),
            )

    def _changes(
        self, own: _Kind, shown: _Kind, scope: str, subresource: str = ""
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Reading and changing an object or, below it, a subresource with an object of its own."""
        name = f"{self._named(own)}{scope}{own.kind}{subresource.capitalize()}"
        told = f"{subresource} of the specified {own.kind}" if subresource else f"the specified {own.kind}"
        query = ("pretty", "resourceVersion") if self._custom else ("pretty",)
        yield "get", self._operation("get", shown, f"read{name}", f"read {told}", query, _SEEN)
        yield (
            "put",
            self._operation(
                "put", shown, f"replace{name}", f"replace {told}", parameters.WRITE, _WRITTEN, body=shown.definition
            ),
        )
        yield (
            "patch",
            self._operation(
                "patch",
                shown,
                f"patch{name}",
                f"partially update {told}",
                parameters.PATCH,
                _SEEN if self._custom else _WRITTEN,
                body=PATCH,
                consumed=_CUSTOM_PATCHES if self._custom else _PATCHES,
            ),
        )

    def _below(self, own: _Kind, scope: str, subresource: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if subresource in _CREATED_BELOW:
            told = f"create {subresource} of {_one(own.kind)}"
            made = _CREATED_BELOW[subresource]
            yield "post", self._create(own, made, scope, told, subresource.capitalize())
        elif subresource in _CONNECTIONS:
            yield from self._connections(own, scope, subresource)
        elif subresource == "log":
            yield (
                "get",
                self._operation(
                    "get",
                    own._replace(definition=TEXT),
                    f"read{self._named(own)}{scope}{own.kind}Log",
                    f"read log of the specified {own.kind}",
                    parameters.LOG,
                    _SEEN,
                    produced=(PLAIN, *self._produced),
                ),
            )
        elif subresource == "scale":
            # That of a custom resource goes by the resource's own kind.
            shown = own._replace(definition=SCALE) if self._custom else _SCALE
            yield from self._changes(own, shown, scope, subresource)
        else:
            for method, operation in self._changes(own, own, scope, subresource):
                if subresource != "finalize" or method == "put":
                    yield method, operation

    def _connections(
        self, own: _Kind, scope: str, subresource: str, suffix: str = ""
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        methods, query, options = _CONNECTIONS[subresource]
        shown = own._replace(kind=f"{own.kind}{options}", definition=TEXT)
        for method in methods:
            place = f"{scope}{own.kind}{subresource.capitalize()}{suffix}"
            name = f"connect{self._named(own)}{method.capitalize()}{place}"
            told = f"connect {method.upper()} requests to {subresource} of {own.kind}"
            yield method, self._operation("connect", shown, name, told, query, _SEEN, produced=_ANYTHING)

    def _named(self, own: _Kind) -> str:
        return f"{camel(own.group)}{own.version.capitalize()}"

    def _operation(
        self,
        action: str,
        shown: _Kind,
        name: str,
        told: str,
        query: Sequence[str],
        statuses: dict[str, str],
        *,
        body: str = "",
        consumed: Sequence[str] = (),
        produced: Sequence[str] = (),
    ) -> dict[str, Any]:
        """One operation, its tag left to `_item`; `body` is the definition of what is sent."""
        consumed, produced = consumed or self._consumed, produced or self._produced
        made: dict[str, Any] = {
            "operationId": name,
            "description": told,
            "parameters": parameters.made((), query, v3=self._v3),
            "responses": responses(shown.definition, statuses, produced, v3=self._v3),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": shown.group,
                "version": shown.version,
                "kind": shown.kind,
            },
        }
        if not self._v3:
            made |= {"consumes": list(consumed), "produces": list(produced), "schemes": ["https"]}
        if not body:
            return made
        required: dict[str, Any] = {} if body == DELETE_OPTIONS else {"required": True}
        if self._v3:
            content = {media_type: {"schema": self._refer(body)} for media_type in consumed}
            made["requestBody"] = {"content": content, **required}
        else:
            made["parameters"].insert(0, {"name": "body", "in": "body", **required, "schema": self._refer(body)})
        return made

    def _item(self, own: _Kind, where: Sequence[str], found: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """A path with its operations; what all of them take is told once."""
        operations = dict(found)
        taken = [[each for each in made["parameters"] if each["in"] == "query"] for made in operations.values()]
        shared = [each for each in taken[0] if all(each in others for others in taken[1:])]
        for made in operations.values():
            made["tags"] = [tag(own.group, own.version)]
            made["parameters"] = [each for each in made["parameters"] if each not in shared]
            if not made["parameters"]:
                del made["parameters"]
        told = sorted([*parameters.made(where, (), v3=self._v3), *shared], key=parameters.order)
        return {**({"parameters": told} if told else {}), **operations}


def responses(definition: str, statuses: dict[str, str], produced: Sequence[str], *, v3: bool) -> dict[str, Any]:
    """What an operation answers, by status; `definition` is that of the object, or TEXT."""
    refer = reference_v3 if v3 else reference_v2
    schema: dict[str, Any] = {"type": "string"} if definition == TEXT else refer(definition)
    found: dict[str, Any] = {
        status: {"description": told, "content": {each: {"schema": schema} for each in produced}}
        if v3
        else {"description": told, "schema": schema}
        for status, told in statuses.items()
    }
    return {**found, "401": {"description": "Unauthorized"}}
