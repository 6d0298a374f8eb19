"""The rules for resources within resources: x-kubernetes-embedded-resource (apiextensions.k8s.io/v1, JSONSchemaProps).

Such a value says what it is, and its metadata obeys the rules of every object's.
"""

from __future__ import annotations

from typing import Any

from keelson.api.meta import Object
from keelson.api.schemas import Schema
from keelson.api.validation import causes, names, object_metadata
from keelson.api.validation.causes import Causes


def holds_any(schema: Schema) -> bool:
    """Whether a schema has embedded resources anywhere below its root."""
    if schema.embedded_resource:
        return True
    below = [*schema.properties.values(), schema.items, schema.additional_properties]
    return any(holds_any(child) for child in below if child is not None and not child.name)


def check(out: Causes, value: Any, schema: Schema, path: str = "") -> None:
    """Append what is wrong with the embedded resources at and below a value."""
    if isinstance(value, dict):
        if schema.embedded_resource:
            _check(out, value, path)
        for key, child in value.items():
            node = schema.properties.get(key)
            if node is not None:
                if not node.name and isinstance(child, dict | list):
                    check(out, child, node, f"{path}.{key}" if path else key)
            elif schema.additional_properties is not None:
                check(out, child, schema.additional_properties, f"{path}[{key}]")
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            check(out, item, schema.items, f"{path}[{index}]")


def _check(out: Causes, value: Object, path: str) -> None:
    for field in ("apiVersion", "kind"):
        where, found = f"{path}.{field}" if path else field, value.get(field)
        if field not in value:
            out.append(causes.required(where))
        elif not isinstance(found, str):
            out.append(causes.invalid(where, found, "must be a string"))
        elif not found:
            out.append(causes.invalid(where, found, "must not be empty"))
        elif field == "apiVersion" and found.count("/") > 1:
            out.append(causes.invalid(where, found, f"unexpected GroupVersion string: {found}"))
        elif field == "kind" and (complaint := names.dns_1035_label(found.lower())):
            out.append(causes.invalid(where, found, f"may have mixed case, but should otherwise match: {complaint}"))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        object_metadata.embedded(out, f"{path}.metadata" if path else "metadata", metadata)
