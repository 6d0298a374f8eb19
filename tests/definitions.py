"""Definitions of the kind Thing, for tests to which it does not matter what a custom resource is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FREE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}
"""A schema that takes any spec."""


def things(group: str, schema: Mapping[str, Any] = FREE, **version: Any) -> dict[str, Any]:
    """A definition of `things` in the group, namespaced; `version` is what its version v1 has beside the schema."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }
