"""Defaults in a CRD's schema: each must be something that its own schema, rules included, accepts.

A default of an embedded resource's metadata must make metadata as every object has it (apiextensions.k8s.io/v1,
"Defaulting").
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from keelson.api import conformance, schemas
from keelson.api.meta import Object
from keelson.api.schemas import Schema, structural
from keelson.api.validation import causes, embedded_resources, object_metadata, rules
from keelson.api.validation import structural as structural_values
from keelson.api.validation.causes import Causes

# From a value of a node to the resource that it is part of, for what lies within type and metadata.
_Surrounding = Callable[[Any], Object]
_TYPE_META = ("apiVersion", "kind", "metadata")


def check(out: Causes, path: str, schema: Object) -> None:
    """Append what is wrong with the defaults of a version's schema, which must be structural."""
    _node(out, path, schema, None, embedded=True)


def _node(out: Causes, path: str, node: Object, within: _Surrounding | None, *, embedded: bool = False) -> None:
    embedded = embedded or bool(node.get("x-kubernetes-embedded-resource"))
    if node.get("default") is not None:
        _default(out, f"{path}.default", node, within)
    if isinstance(node.get("items"), dict):
        _node(out, f"{path}.items", node["items"], _listed(within))
    for key, child in (node.get("properties") or {}).items():
        inner = _field(within, key)
        if embedded:
            inner = _field(_identity, key) if key in _TYPE_META else None
        _node(out, f"{path}.properties[{key}]", child, inner)


def _identity(value: Any) -> Object:
    return {"apiVersion": "validation/v1", "kind": "Validation", **value}


def _field(within: _Surrounding | None, key: str) -> _Surrounding | None:
    return None if within is None else lambda value: within({key: value})


def _listed(within: _Surrounding | None) -> _Surrounding | None:
    return None if within is None else lambda value: within([value])


def _default(out: Causes, where: str, node: Object, within: _Surrounding | None) -> None:
    schema = structural(node, root=False)
    value = copy.deepcopy(node["default"])
    if within is not None:
        complaint = _metadata_complaint(within(value))
        if complaint:
            detail = f"must result in valid metadata: {complaint}"
            out.append(causes.invalid(where, node["default"], detail))
            return
    else:
        try:
            unknown = conformance.prune(value, schema, quiet_metadata=True)
        except conformance.MismatchError as error:
            out.append(causes.invalid(where, node["default"], f"must result in valid metadata: {error}"))
            return
        if unknown:
            out.append(causes.invalid(where, node["default"], "must not have unknown fields"))
        found: Causes = []
        embedded_resources.check(found, value, schema, where)
        if found:
            out.extend(found)
            return
    found = structural_values.value_causes(schema, value, where)
    out.extend(found or _rules(schema, value, where))


def _rules(schema: Schema, value: Any, where: str) -> Causes:
    """A default may come with a new value and without one, so that rules of transitions see both."""
    return rules.value_causes(schema, value, value, where) or rules.value_causes(schema, value, rules.ABSENT, where)


def _metadata_complaint(obj: Object) -> str:
    try:
        conformance.shape_metadata(obj, schemas.object_meta())
    except conformance.MismatchError as error:
        return str(error)
    found: Causes = []
    for key in ("apiVersion", "kind"):
        if not isinstance(obj[key], str):
            return f"{key}: must be a string"
    object_metadata.embedded(found, "metadata", obj.get("metadata") or {})
    return ", ".join(f"{cause['field']}: {cause['message']}" for cause in found)
