"""Defaults that a CRD's structural schema states (apiextensions.k8s.io/v1, "Defaulting")."""

from __future__ import annotations

import copy
from typing import Any

from keelson.api.schemas import MISSING, Schema


def apply(schema: Schema, value: Any) -> None:
    """Fills in the schema's defaults wherever their parent is present, in place and from the outside in."""
    if isinstance(value, dict):
        for key, child in schema.properties.items():
            if key not in value and child.default is not MISSING:
                value[key] = copy.deepcopy(child.default)
            if key in value:
                apply(child, value[key])
        if schema.additional_properties is not None:
            for key, found in value.items():
                if key not in schema.properties:
                    apply(schema.additional_properties, found)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            apply(schema.items, item)
