"""Patches of every kind, of objects that are there and of others."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import DRY, TEXTS, VALUES, Case, dumped, places, spoiled
from tests.faults.fuzzing.seeds import CONFIG_MAPS, CUSTOM, DEPLOYMENTS, SEEDS, SERVICES

_SEGMENTS = some.one_of(
    some.sampled_from(
        ["", "data", "a", "metadata", "labels", "spec", "containers", "0", "-", "-1", "01", "~0", "~1", "~2"]
    ),
    some.text(max_size=4),
)
_POINTERS = some.one_of(
    some.lists(_SEGMENTS, max_size=4).map(lambda parts: "".join(f"/{each}" for each in parts)), TEXTS
)


@some.composite
def operations(draw: some.DrawFn) -> list[dict[str, Any]]:
    """The operations of a JSON patch (RFC 6902), each of which may lack something."""
    found = []
    for _ in range(draw(some.integers(0, 5))):
        operation: dict[str, Any] = {
            "op": draw(some.sampled_from(["add", "remove", "replace", "copy", "move", "test", "x"]))
        }
        for field, values in (("path", _POINTERS), ("from", _POINTERS), ("value", VALUES)):
            if draw(some.integers(0, 5)):
                operation[field] = draw(values)
        found.append(operation)
    return found


@some.composite
def json_patches(draw: some.DrawFn) -> Case:
    """JSON patches."""
    value: Any = draw(operations()) if draw(some.integers(0, 9)) else draw(VALUES)
    return Case("PATCH", draw(_PATCHED), dumped(value), "application/json-patch+json")


_PATCHED = some.sampled_from([f"{path}/seed?{DRY}" for path in (CONFIG_MAPS, DEPLOYMENTS, SERVICES)])
_DIRECTIVES: some.SearchStrategy[dict[str, Any]] = some.sampled_from(
    [
        {"$patch": "delete"},
        {"$patch": "replace"},
        {"$patch": "x"},
        {"$retainKeys": ["a"]},
        {"$retainKeys": 1},
        {"$deleteFromPrimitiveList/finalizers": ["a"]},
        {"$setElementOrder/containers": [{"name": "c"}, {"name": "z"}]},
        {"$setElementOrder/containers": "x"},
        {"$deleteFromPrimitiveList/containers": [1]},
        {"$setElementOrder/ports": [1]},
    ]
)


@some.composite
def object_patches(draw: some.DrawFn) -> Case:
    """Merge and strategic merge patches, with their directives at any place."""
    path, seed = draw(some.sampled_from([each for each in SEEDS if each[0] in (CONFIG_MAPS, DEPLOYMENTS, SERVICES)]))
    patch = draw(some.one_of(spoiled(seed), VALUES))
    holders: list[dict[str, Any]] = [patch] if isinstance(patch, dict) else []
    for place in places(patch):
        value = patch
        for key in place:
            value = value[key]
        if isinstance(value, dict):
            holders.append(value)
    spoils: bool = draw(some.booleans())
    if holders and spoils:
        position = draw(some.integers(0, len(holders) - 1))
        holders[position].update(dict(draw(_DIRECTIVES)))
    kind = draw(some.sampled_from(["application/merge-patch+json", "application/strategic-merge-patch+json"]))
    return Case("PATCH", f"{path}/seed?{DRY}", dumped(patch), kind)


@some.composite
def apply_patches(draw: some.DrawFn) -> Case:
    """Server-side apply, of objects that are there and of others."""
    path, seed = draw(some.sampled_from([each for each in SEEDS if each[0] != CUSTOM]))
    name = draw(some.sampled_from(["seed", "other"]))
    document = draw(spoiled({**seed, "metadata": {**seed["metadata"], "name": name}}))
    query = f"fieldManager=fuzz&{DRY}&force={draw(some.sampled_from(['true', 'false']))}"
    return Case("PATCH", f"{path}/{name}?{query}", dumped(document), "application/apply-patch+yaml")
