"""What a value of each kind looks like: one tree of `Schema` nodes for built-in kinds and for CRDs.

Pruning, type checks, patches, server-side apply and defaulting all read these nodes, so that a custom resource takes
the same road as a Pod. Built-in trees are compiled from `definitions` when a kind is first asked for; nodes of a
definition are shared between the kinds that refer to it.

Sources: OpenAPI v3 as the API conventions use it; KEP-555 and KEP-2576 for the list and map markers; the structural
schema rules of apiextensions.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from sys import intern
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from keelson.api.definitions import Definitions, compact, compact_descriptions, definitions, descriptions

__all__ = [
    "MISSING",
    "Kind",
    "Schema",
    "Typed",
    "compact",
    "compact_descriptions",
    "definitions",
    "descriptions",
    "of",
    "structural",
]


class _Missing:
    """The type of `MISSING`; None is a JSON value and can't stand for the absence of one."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class Typed(Protocol):
    """What has an apiVersion and a kind: a `resources.Resource` or a `Kind`."""

    @property
    def api_version(self) -> str: ...

    @property
    def kind(self) -> str: ...


class Kind(NamedTuple):
    """A kind that need not be a resource's own, such as Scale or DeleteOptions."""

    api_version: str
    kind: str


_NONE: Mapping[str, Any] = MappingProxyType({})


class Schema:
    """One node. Read-only once compiled.

    `type` is "object", "array", "string", "integer", "number", "boolean", or "" for anything. `format` tells Go types
    apart that share one JSON type: "int32", "int64", "double", "byte", "date-time", "micro-time", "quantity",
    "int-or-string". `properties` and `additional_properties` never both hold. `list_type` is "", "atomic", "set" or
    "map"; `map_type` is "", "atomic" or "granular". `default`, `constraints` and `nullable` are only ever set for CRDs:
    what no built-in schema says is code in `defaults` and `validation`.
    """

    __slots__ = (
        "additional_properties",
        "branches",
        "compiled",
        "constraints",
        "default",
        "embedded_resource",
        "format",
        "items",
        "list_map_keys",
        "list_type",
        "map_type",
        "merge_key",
        "name",
        "nullable",
        "patch_strategies",
        "preserve_unknown",
        "properties",
        "required",
        "rules",
        "stated",
        "type",
    )

    def __init__(self) -> None:
        self.name = ""
        self.type = ""
        self.format = ""
        self.properties: dict[str, Schema] = {}
        self.required: frozenset[str] = frozenset()
        self.items: Schema | None = None
        self.additional_properties: Schema | None = None
        self.list_type = ""
        self.list_map_keys: tuple[str, ...] = ()
        self.map_type = ""
        self.merge_key = ""
        self.patch_strategies: frozenset[str] = frozenset()
        self.preserve_unknown = False
        self.embedded_resource = False
        self.nullable = False
        self.default: Any = MISSING
        self.constraints: Mapping[str, Any] = _NONE
        # The closure that `conformance` made of this node; a copy differs in markers only and may share it.
        self.compiled: Callable[[Any], Any] | None = None
        # What a CRD says of the apiVersion, kind and metadata of its objects or of an embedded resource, whose shape is
        # every object's all the same.
        self.stated: Mapping[str, Schema] = _NONE
        # What `validation.structural` made of allOf, anyOf, oneOf and not; None before it was asked.
        self.branches: Any = None
        # What `validation.rules` made of the rules at and below this node; None before it was asked.
        self.rules: Any = None

    def __repr__(self) -> str:
        return f"<Schema {self.name or self.type or 'any'}>"

    def copy(self) -> Schema:
        """A node of its own with the same children."""
        fresh = Schema()
        for slot in Schema.__slots__:
            setattr(fresh, slot, getattr(self, slot))
        return fresh


_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Any JSON value may stand here, and is kept as it came.
_ANYTHING = frozenset(
    {
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
    }
)


def _markers(schema: Schema, node: Mapping[str, Any]) -> None:
    """Copies the x-kubernetes-* markers that OpenAPI v3 and structural schemas share."""
    schema.list_type = node.get("x-kubernetes-list-type", schema.list_type)
    schema.list_map_keys = tuple(map(intern, node.get("x-kubernetes-list-map-keys", schema.list_map_keys)))
    schema.map_type = node.get("x-kubernetes-map-type", schema.map_type)
    schema.merge_key = node.get("x-kubernetes-patch-merge-key", schema.merge_key)
    if "x-kubernetes-patch-strategy" in node:
        schema.patch_strategies = frozenset(node["x-kubernetes-patch-strategy"].split(","))


class _Compiler:
    """Turns definitions into nodes, each definition once."""

    def __init__(self, source: Definitions) -> None:
        self._source = source
        self._nodes: dict[str, Schema] = {}
        # Scalars without markers carry no identity, so that thousands of string fields share a handful of nodes.
        self._scalars: dict[tuple[str, str], Schema] = {}
        self._names: dict[tuple[str, str], str] = {}
        for name, node in source.items():
            for gvk in node.get("x-kubernetes-group-version-kind", ()):
                group, version = gvk["group"], gvk["version"]
                self._names[f"{group}/{version}" if group else version, gvk["kind"]] = name

    def kind(self, api_version: str, kind: str) -> Schema:
        return self.definition(self._names[api_version, kind])

    def definition(self, name: str) -> Schema:
        """The node of a definition; in the memory before its children are, because JSONSchemaProps holds itself."""
        known = self._nodes.get(name)
        if known is not None:
            return known
        schema = self._nodes[name] = Schema()
        schema.name = intern(name.rpartition(".")[2])
        if name in _ANYTHING:
            schema.preserve_unknown = True
        elif name == _QUANTITY:
            schema.type, schema.format = "string", "quantity"
        elif name == _INT_OR_STRING:
            schema.format = "int-or-string"
        else:
            self._fill(schema, self._source[name])
            if name == _MICRO_TIME:
                schema.format = "micro-time"
        return schema

    def _node(self, node: Mapping[str, Any]) -> Schema:
        if "$ref" in node:
            target = self.definition(node["$ref"])
            if len(node) == 1:
                return target
            schema = target.copy()
            _markers(schema, node)
            return schema
        key = (node.get("type", ""), node.get("format", ""))
        if key[0] not in ("object", "array"):
            if key not in self._scalars:
                self._scalars[key] = Schema()
                self._fill(self._scalars[key], node)
            return self._scalars[key]
        schema = Schema()
        self._fill(schema, node)
        return schema

    def _fill(self, schema: Schema, node: Mapping[str, Any]) -> None:
        schema.type = intern(node.get("type", ""))
        schema.format = intern(node.get("format", ""))
        schema.required = frozenset(node.get("required", ()))
        _markers(schema, node)
        if "items" in node:
            schema.items = self._node(node["items"])
        if "additionalProperties" in node:
            schema.additional_properties = self._node(node["additionalProperties"])
        for key, child in node.get("properties", {}).items():
            schema.properties[intern(key)] = self._node(child)


@cache
def _compiler() -> _Compiler:
    return _Compiler(definitions())


def of(typed: Typed) -> Schema:
    """The schema of a built-in kind; KeyError where there is no such kind in v1.36's stable versions."""
    return _compiler().kind(typed.api_version, typed.kind)


def object_meta() -> Schema:
    """The schema of metav1.ObjectMeta."""
    return _compiler().definition(_OBJECT_META)


# What a structural schema may say of a value beside its shape; `validation.structural` judges these.
_CONSTRAINTS = (
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "format",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-validations",
)


def _structural_node(node: Mapping[str, Any]) -> Schema:
    schema = Schema()
    schema.type = intern(node.get("type", ""))
    schema.nullable = bool(node.get("nullable"))
    schema.required = frozenset(node.get("required", ()))
    schema.preserve_unknown = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    schema.embedded_resource = bool(node.get("x-kubernetes-embedded-resource"))
    # To default to null is to default to nothing.
    schema.default = MISSING if node.get("default") is None else node["default"]
    _markers(schema, node)
    if node.get("x-kubernetes-int-or-string"):
        schema.type, schema.format = "", "int-or-string"
    if isinstance(node.get("items"), dict):
        schema.items = _structural_node(node["items"])
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        schema.additional_properties = _structural_node(extra)
    elif extra is True:
        schema.preserve_unknown = True
    for key, child in node.get("properties", {}).items():
        schema.properties[intern(key)] = _structural_node(child)
    if schema.embedded_resource:
        _add_type_meta(schema)
    constraints = {key: node[key] for key in _CONSTRAINTS if key in node}
    if constraints:
        schema.constraints = MappingProxyType(constraints)
    return schema


_TYPE_META = ("apiVersion", "kind", "metadata")


def _add_type_meta(schema: Schema) -> None:
    """Every resource has these, whatever its CRD says of them (CustomResourceDefinition v1, "embedded resource")."""
    stated = {key: schema.properties[key] for key in _TYPE_META if key in schema.properties}
    if stated:
        schema.stated = MappingProxyType(stated)
    text = Schema()
    text.type = "string"
    schema.properties["apiVersion"] = text
    schema.properties["kind"] = text
    schema.properties["metadata"] = object_meta()


def structural(open_api_v3_schema: Mapping[str, Any], *, root: bool = True) -> Schema:
    """The node tree of a CRD version's `openAPIV3Schema`, which must be structural already.

    With `root`, apiVersion, kind and metadata are those of every resource.
    """
    schema = _structural_node(open_api_v3_schema)
    if root:
        schema.type = "object"
        _add_type_meta(schema)
    return schema
