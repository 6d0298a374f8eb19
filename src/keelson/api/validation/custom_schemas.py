"""The rules for the schema of one CRD version: a subset of OpenAPI v3, structural, with defaults and rules that fit it.

Source: apiextensions.k8s.io/v1, JSONSchemaProps; KEP-2576 for the types of maps and lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import causes, rules, schema_defaults, structural_schemas
from keelson.api.validation.causes import Causes

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES, _MAP_TYPES = ("atomic", "set", "map"), ("atomic", "granular")
_LIST, _MAP, _KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_LOGIC = ("allOf", "oneOf", "anyOf")
_TYPE_META = ("apiVersion", "kind", "metadata")
# What may stand at the root of a schema whose status is judged on its own.
_AT_ROOT = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}


def has_defaults(schema: Any) -> bool:
    """Whether a schema states a default anywhere."""
    if isinstance(schema, list):
        return any(map(has_defaults, schema))
    if not isinstance(schema, Mapping):
        return False
    if schema.get("default") is not None:
        return True
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(map(has_defaults, [*below, schema.get("not"), *(schema.get(word) for word in _LOGIC)]))


def check(path: str, schema: Object, *, has_status: bool, old: Object | None = None, structural: bool = True) -> Causes:
    """What is wrong with the schema at `path`.

    `has_status` says that the version has the subresource status, `old` is the version's schema before an update, whose
    rules' prices are let be where it is the same; `structural` is False where an update may leave it as it is.
    """
    out: Causes = []
    if has_status:
        _root(out, path, schema)
    if schema.get("nullable"):
        out.append(causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    broken = structural_schemas.violations(schema, path) if structural else []
    out.extend(broken)
    if structural and not broken:
        schema_defaults.check(out, path, schema)
    review = _Review()
    review.node(schema, path, _Context(root=True))
    out.extend(review.out)
    if structural and not out:
        out.extend(rules.check(path, schema, priced=schema != old))
    return out


def _root(out: Causes, path: str, schema: Object) -> None:
    for field, value in schema.items():
        if value in (None, "", [], {}, False):
            continue
        if field == "type" and value != "object":
            detail = (
                'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            )
            out.append(causes.invalid(f"{path}.type", value, detail))
            return
        if field not in _AT_ROOT:
            listed = " ".join(_AT_ROOT.values())
            detail = (
                f"only [{listed}] fields are allowed at the root of the schema if the status subresource is enabled"
            )
            out.append(causes.invalid(path, schema, detail))
            return


class _Context:
    """Where in the schema a node is."""

    __slots__ = ("in_metadata", "no_defaults", "root")

    def __init__(self, *, root: bool = False, in_metadata: bool = False, no_defaults: str = "") -> None:
        self.root = root
        self.in_metadata = in_metadata
        # Why defaults are not allowed, "" where they are.
        self.no_defaults = no_defaults

    def below(self, *, in_metadata: bool = False, no_defaults: str = "") -> _Context:
        return _Context(in_metadata=self.in_metadata or in_metadata, no_defaults=no_defaults or self.no_defaults)


class _Review:
    """One walk through a schema, logic included."""

    def __init__(self) -> None:
        self.out: Causes = []

    def node(self, schema: Object, path: str, context: _Context) -> None:
        self._fields(schema, path, context)
        extra = schema.get("additionalProperties")
        if extra is not None and schema.get("properties") and extra is not True:
            detail = "additionalProperties and properties are mutual exclusive"
            self.out.append(causes.forbidden(f"{path}.additionalProperties", detail))
        if isinstance(extra, dict):
            why = "inside additionalProperties applying to object metadata" if context.in_metadata else ""
            self.node(extra, f"{path}.additionalProperties", context.below(no_defaults=why))
        for key, child in (schema.get("properties") or {}).items():
            inner = context.below()
            if key in _TYPE_META and (context.root or schema.get("x-kubernetes-embedded-resource")):
                inner = context.below(in_metadata=True, no_defaults=f"in top-level {key}" if context.root else "")
            self.node(child, f"{path}.properties[{key}]", inner)
        if isinstance(schema.get("not"), dict):
            self.node(schema["not"], f"{path}.not", context.below())
        for word in _LOGIC:
            for index, branch in enumerate(schema.get(word) or ()):
                self.node(branch, f"{path}.{word}[{index}]", context.below())
        if isinstance(schema.get("items"), dict):
            self.node(schema["items"], f"{path}.items", context.below())
        self._kinds(schema, path)

    def _fields(self, schema: Object, path: str, context: _Context) -> None:
        kind = schema.get("type") or ""
        if kind and kind not in _TYPES:
            self.out.append(causes.unsupported(f"{path}.type", kind, _TYPES))
        if schema.get("default") is not None and context.no_defaults:
            self.out.append(causes.forbidden(f"{path}.default", f"must not be set {context.no_defaults}"))
        for field in _UNSUPPORTED:
            if schema.get(field) not in (None, "", {}):
                self.out.append(causes.forbidden(f"{path}.{field}", f"{field} is not supported"))
        if kind == "null":
            detail = "type cannot be set to null, use nullable as an alternative"
            self.out.append(causes.forbidden(f"{path}.type", detail))
        if isinstance(schema.get("items"), list):
            detail = "items must be a schema object and not an array"
            self.out.append(causes.forbidden(f"{path}.items", detail))
        if context.in_metadata and schema.get("x-kubernetes-embedded-resource"):
            detail = "must not be used inside of resource meta"
            self.out.append(causes.forbidden(f"{path}.x-kubernetes-embedded-resource", detail))
        if schema.get("uniqueItems"):
            detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            self.out.append(causes.forbidden(f"{path}.uniqueItems", detail))
        if schema.get("x-kubernetes-preserve-unknown-fields") is False:
            where = f"{path}.x-kubernetes-preserve-unknown-fields"
            self.out.append(causes.invalid(where, False, "must be true or undefined"))

    def _kinds(self, schema: Object, path: str) -> None:
        """How maps and lists are merged (KEP-2576)."""
        kind, map_type, list_type = schema.get("type") or "", schema.get(_MAP), schema.get(_LIST)
        for extension, stated, wanted, known in (
            (_MAP, map_type, "object", _MAP_TYPES),
            (_LIST, list_type, "array", _LIST_TYPES),
        ):
            if stated is None:
                continue
            if kind != wanted:
                detail, where = f"must be {wanted} if {extension} is specified", f"{path}.type"
                self.out.append(causes.invalid(where, kind, detail) if kind else causes.required(where, detail))
            if stated not in known:
                self.out.append(causes.unsupported(f"{path}.{extension}", stated, known, ordered=True))
        items = schema.get("items")
        if kind == "array" and list_type == "set" and isinstance(items, dict):
            self._atomic_items(items, path)
        keys = schema.get(_KEYS) or []
        if keys and list_type != "map":
            detail, where = f"must be map if {_KEYS} is non-empty", f"{path}.{_LIST}"
            stated = causes.required(where, detail) if list_type is None else causes.invalid(where, list_type, detail)
            self.out.append(stated)
        if list_type == "map":
            self._list_map(schema, path, keys, items)
        if list_type in ("set", "map") and isinstance(items, dict) and items.get("nullable"):
            detail = f"cannot be nullable when {_LIST} is {list_type}"
            self.out.append(causes.forbidden(f"{path}.items.nullable", detail))

    def _atomic_items(self, items: Object, path: str) -> None:
        detail = f"must be atomic as item of a list with {_LIST}=set"
        stated = items.get(_LIST)
        if items.get("type") == "array" and stated not in (None, "atomic"):
            self.out.append(causes.invalid(f"{path}.items.{_LIST}", stated, detail))
        elif items.get("type") == "object" and items.get(_MAP) != "atomic":
            self.out.append(causes.invalid(f"{path}.items.{_MAP}", stated, detail))

    def _list_map(self, schema: Object, path: str, keys: list[str], items: Any) -> None:
        if not keys:
            self.out.append(causes.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map"))
        if items is None:
            self.out.append(causes.required(f"{path}.items", f"must have a schema if {_LIST} is map"))
        if not isinstance(items, dict):
            return
        if items.get("type") != "object":
            detail = f"must be object if parent array's {_LIST} is map"
            self.out.append(causes.invalid(f"{path}.items.type", items.get("type") or "", detail))
            return
        seen: set[str] = set()
        for key in keys:
            node = (items.get("properties") or {}).get(key)
            where = f"{path}.items.properties[{key}]"
            if node is None:
                detail = "entries must all be names of item properties"
                self.out.append(causes.invalid(f"{path}.{_KEYS}", keys, detail))
            elif node.get("type") in ("array", "object"):
                detail = f"must be a scalar type if parent array's {_LIST} is map"
                self.out.append(causes.invalid(f"{where}.type", items["type"], detail))
            if key in seen:
                self.out.append(causes.invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries"))
            seen.add(key)
            if node is None:
                continue
            about = f"this property is in {_KEYS}, so it"
            if key not in (items.get("required") or ()) and node.get("default") is None:
                detail = f"{about} must have a default or be a required property"
                self.out.append(causes.required(f"{where}.default", detail))
            if node.get("nullable"):
                self.out.append(causes.forbidden(f"{where}.nullable", f"{about} cannot be nullable"))
