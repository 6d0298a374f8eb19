"""Defaults that a CRD's structural schema states (apiextensions.k8s.io/v1, "Defaulting")."""

from __future__ import annotations

import copy
from typing import Any

from keelson.api.schemas import MISSING, Schema


def apply(schema: Schema, value: Any) -> None:
    """Fills in the schema's defaults wherever their parent is present, in place and from the outside in.

    A null stands for absence where the field is not nullable.
    """
    if isinstance(value, dict):
        for key, child in (schema.stated or {}).items():
            _field(value, key, child)
        for key, child in schema.properties.items():
            # Definitions that are built in have names, and no defaults.
            if not child.name:
                _field(value, key, child)
        extra = schema.additional_properties
        if extra is not None:
            for key in value:
                if key not in schema.properties:
                    _field(value, key, extra)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            if item is None and not schema.items.nullable and schema.items.default is not MISSING:
                value[index] = copy.deepcopy(schema.items.default)
            apply(schema.items, value[index])


def _field(value: dict[str, Any], key: str, schema: Schema) -> None:
    if value.get(key) is None:
        if schema.default is MISSING or (key in value and schema.nullable):
            return
        value[key] = copy.deepcopy(schema.default)
    apply(schema, value[key])
