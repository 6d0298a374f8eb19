"""The paths of a resource and what can be done at each, in both dialects of OpenAPI.

kubectl reads three things here: which kind lies at a path (`explain`), whether a PATCH knows `fieldValidation` (else it
validates by itself), and whether it knows `dryRun`. Client generators read the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keelson.api.openapi.components import reference_v2, reference_v3
from keelson.api.resources import Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS = f"{_META}.Status"
DELETE_OPTIONS = f"{_META}.DeleteOptions"
PATCH = f"{_META}.Patch"
SCALE = "io.k8s.api.autoscaling.v1.Scale"

_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_PRODUCED = ("application/json", "application/yaml")

# Name, type and what it does; the texts are ours.
_QUERY = {
    "pretty": ("string", "If 'true', the answer is indented."),
    "dryRun": ("string", "'All': everything is done but the change is not kept."),
    "fieldManager": ("string", "The name under which the fields of this write are owned."),
    "fieldValidation": ("string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Whether an apply takes over fields that others own."),
    "labelSelector": ("string", "Restricts the objects by their labels."),
    "fieldSelector": ("string", "Restricts the objects by their fields."),
    "limit": ("integer", "How many objects an answer holds at most; the rest is fetched by `continue`."),
    "continue": ("string", "Where a former answer stopped."),
    "resourceVersion": ("string", "The moment that the answer must reflect at the earliest, or exactly."),
    "resourceVersionMatch": ("string", "How `resourceVersion` is meant for lists."),
    "timeoutSeconds": ("integer", "After how long a list or watch ends."),
    "watch": ("boolean", "Whether changes are streamed instead of a list."),
    "allowWatchBookmarks": ("boolean", "Whether a watch sends bookmarks."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with all objects that exist."),
    "gracePeriodSeconds": ("integer", "How long the object has to end by itself."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "orphanDependents": ("boolean", "Deprecated; use `propagationPolicy`."),
}
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")

# method, action, verb of the resource, query, body ("object", "patch", "delete" or ""), answer ("object" or "list")
_COLLECTION = (
    ("get", "list", "list", _LIST, "", "list"),
    ("post", "post", "create", _WRITE, "object", "object"),
    ("delete", "deletecollection", "deletecollection", (*_LIST, *_DELETE), "delete", "status"),
)
_ITEM = (
    ("get", "get", "get", (), "", "object"),
    ("put", "put", "update", _WRITE, "object", "object"),
    ("patch", "patch", "patch", (*_WRITE, "force"), "patch", "object"),
    ("delete", "delete", "delete", _DELETE, "delete", "object"),
)
_SUBRESOURCE = _ITEM[:3]
# Subresources with the resource's own object or a Scale; the others are connections and actions without a form.
_OBJECT_SUBRESOURCES = frozenset({"status", "scale", "approval", "ephemeralcontainers", "resize"})
_VERBS = {"get": "read", "put": "replace", "patch": "patch", "delete": "delete", "post": "create", "list": "list"}


class Paths:
    """Makes the path items of resources in one dialect."""

    def __init__(self, *, v3: bool) -> None:
        self._v3 = v3
        self._refer = reference_v3 if v3 else reference_v2

    def of(self, resource: Resource, definition: str, list_definition: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The paths of a resource with what can be done there."""
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        if resource.namespaced:
            inside = f"{base}/namespaces/{{namespace}}/{resource.plural}"
            if "list" in resource.verbs:
                across = [row for row in _COLLECTION if row[1] == "list"]
                yield (
                    f"{base}/{resource.plural}",
                    self._item(resource, across, definition, list_definition, (), "ForAllNamespaces"),
                )
        else:
            inside = f"{base}/{resource.plural}"
        where = ("namespace",) if resource.namespaced else ()
        yield inside, self._item(resource, _COLLECTION, definition, list_definition, where)
        if {"get", "update", "patch", "delete"} & set(resource.verbs):
            yield (
                f"{inside}/{{name}}",
                self._item(resource, _ITEM, definition, list_definition, (*where, "name")),
            )
        for subresource in resource.subresources:
            if subresource in _OBJECT_SUBRESOURCES:
                shown = SCALE if subresource == "scale" else definition
                item = self._item(resource, _SUBRESOURCE, shown, "", (*where, "name"), subresource.capitalize())
                yield f"{inside}/{{name}}/{subresource}", item

    def _item(
        self,
        resource: Resource,
        rows: Any,
        definition: str,
        list_definition: str,
        where: tuple[str, ...],
        suffix: str = "",
    ) -> dict[str, Any]:
        item: dict[str, Any] = {}
        if where:
            item["parameters"] = [self._path_parameter(name) for name in where]
        for method, action, verb, query, body, answer in rows:
            if verb not in resource.verbs and suffix in ("", "ForAllNamespaces"):
                continue
            shown = {"object": definition, "list": list_definition, "status": STATUS}[answer]
            operation = {
                "operationId": self._operation_id(resource, action, "namespace" in where, suffix),
                "description": f"{action} {resource.kind}",
                "tags": [self._tag(resource)],
                "parameters": [self._query_parameter(name) for name in sorted((*query, "pretty"))],
                "responses": self._responses(shown),
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": self._gvk(resource, suffix),
            }
            self._body(operation, body, definition)
            item[method] = operation
        return item

    def _gvk(self, resource: Resource, suffix: str) -> dict[str, str]:
        if suffix == "Scale":
            return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}

    def _tag(self, resource: Resource) -> str:
        group = resource.group.removesuffix(".k8s.io").replace(".", "_") or "core"
        return f"{group}_{resource.version}"

    def _operation_id(self, resource: Resource, action: str, namespaced: bool, suffix: str) -> str:
        group = "".join(part.capitalize() for part in (resource.group.split(".")[0] or "core").split("-"))
        verb = {"deletecollection": "delete", **_VERBS}[action]
        collection = "Collection" if action == "deletecollection" else ""
        scope = "Namespaced" if namespaced else ""
        return f"{verb}{group}{resource.version.capitalize()}{collection}{scope}{resource.kind}{suffix}"

    def _path_parameter(self, name: str) -> dict[str, Any]:
        text = "The namespace of the object." if name == "namespace" else "The name of the object."
        return self._parameter(name, "path", "string", text) | {"required": True}

    def _query_parameter(self, name: str) -> dict[str, Any]:
        kind, text = _QUERY[name]
        return self._parameter(name, "query", kind, text)

    def _parameter(self, name: str, place: str, kind: str, text: str) -> dict[str, Any]:
        shape: dict[str, Any] = {"schema": {"type": kind, "uniqueItems": True}} if self._v3 else {"type": kind}
        return {"name": name, "in": place, "description": text, **shape} | ({} if self._v3 else {"uniqueItems": True})

    def _responses(self, definition: str) -> dict[str, Any]:
        reference = self._refer(definition)
        if self._v3:
            content = {media_type: {"schema": reference} for media_type in _PRODUCED}
            return {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
        return {"200": {"description": "OK", "schema": reference}, "401": {"description": "Unauthorized"}}

    def _body(self, operation: dict[str, Any], body: str, definition: str) -> None:
        if not self._v3:
            operation["consumes"] = list(_PATCH_TYPES) if body == "patch" else ["*/*"]
            operation["produces"] = list(_PRODUCED)
            operation["schemes"] = ["https"]
        if not body:
            return
        name = {"object": definition, "patch": PATCH, "delete": DELETE_OPTIONS}[body]
        media_types = _PATCH_TYPES if body == "patch" else ("*/*",)
        if self._v3:
            content = {media_type: {"schema": self._refer(name)} for media_type in media_types}
            operation["requestBody"] = {"content": content, "required": body != "delete"}
        else:
            parameter = {"name": "body", "in": "body", "required": body != "delete", "schema": self._refer(name)}
            operation["parameters"].insert(0, parameter)
