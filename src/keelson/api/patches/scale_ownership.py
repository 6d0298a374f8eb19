"""Ownership of the number of replicas, seen from the scale subresource and from the object.

A Scale is another view of one field: whoever owns that field of the object owns spec.replicas of its Scale, and who
takes it through the Scale owns it in the object as "scale". Rules: KEP-2155's handling of subresources, API concepts
("Server-Side Apply", field managers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keelson.api.patches import field_sets, managed_fields
from keelson.api.patches.field_sets import LEAF, Node
from keelson.api.patches.managed_fields import Entry, Owner

SCALE_VERSION = "autoscaling/v1"
_IN_SCALE: Node = {"f:spec": {"f:replicas": LEAF}}

# From an API version to the set of the one field that a Scale of it shows as its replicas; None where the version has
# no scale.
PathOf = Callable[[str], "Node | None"]


def path_set(path: str) -> Node:
    """The set that holds the field at a path such as ".spec.replicas" and nothing else."""
    node: Node = LEAF
    for name in reversed(path.strip(".").split(".")):
        node = {f"f:{name}": node}
    return node


def _of(owner: Owner) -> tuple[str, str, str]:
    return owner.manager, owner.operation, owner.subresource


def to_scale(entries: Iterable[Mapping[str, Any]], path_of: PathOf) -> list[Entry]:
    """The managedFields of an object's Scale."""
    found = []
    for owner in managed_fields.owners(entries):
        path = path_of(owner.api_version)
        if path and field_sets.intersection(owner.fields, path):
            found.append(owner._replace(fields=_IN_SCALE, api_version=SCALE_VERSION))
    return managed_fields.encode(found)


def to_object(
    entries: Iterable[Mapping[str, Any]], scale: Iterable[Mapping[str, Any]], path_of: PathOf, api_version: str
) -> list[Entry]:
    """The managedFields of an object with `entries` once those of its Scale, of `api_version`, became `scale`."""
    holders = {_of(owner) for owner in managed_fields.owners(scale) if field_sets.intersection(owner.fields, _IN_SCALE)}
    result: list[Owner] = []
    for owner in managed_fields.owners(entries):
        path = path_of(owner.api_version)
        if not path or not field_sets.intersection(owner.fields, path):
            result.append(owner)
        elif _of(owner) in holders:
            holders.discard(_of(owner))
            result.append(owner)
        else:
            result.append(owner._replace(fields=field_sets.difference(owner.fields, path)))
    own = path_of(api_version)
    for manager, operation, subresource in sorted(holders):
        # Upstream gives these no time, and so places them before all others of their operation.
        result.append(Owner(manager, operation, api_version, own or field_sets.EMPTY, "", subresource))
    return managed_fields.encode(result)
