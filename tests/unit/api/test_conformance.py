"""The fast road and the slow one through a schema must come to the same result."""

import copy
import random
from typing import Any

import pytest

from keelson.api import conformance, resources, schemas
from keelson.api.schemas import Schema

_TEXTS = {
    "date-time": "2026-01-02T03:04:05+01:00",
    "micro-time": "2026-01-02T03:04:05Z",
    "byte": "aGk=",
    "quantity": "1000m",
}
_ZEROS: dict[str, Any] = {"string": "text", "integer": 7, "number": 1.5, "boolean": True}


def value_of(schema: Schema, dice: random.Random, depth: int = 0) -> Any:
    """A valid value: of each object about a third of the fields."""
    if schema.preserve_unknown:
        return {"any": [1, None, {"thing": True}]}
    if schema.format == "int-or-string":
        return dice.choice([80, "http"])
    if schema.format in _TEXTS:
        return _TEXTS[schema.format]
    if schema.type == "object":
        if schema.additional_properties is not None:
            return {"key": value_of(schema.additional_properties, dice, depth + 1)}
        chosen = [key for key in sorted(schema.properties) if depth < 12 and dice.random() < 0.34]
        return {key: value_of(schema.properties[key], dice, depth + 1) for key in chosen}
    if schema.type == "array":
        assert schema.items is not None
        return [value_of(schema.items, dice, depth + 1) for _ in range(dice.randrange(3))]
    return _ZEROS[schema.type]


def fields_of(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value that holds something, as (container, key)."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        node = pending.pop()
        entries = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in entries:
            found.append((node, key))
            if isinstance(child, dict | list):
                pending.append(child)
    return found


def outcome(value: dict[str, Any], schema: Schema, *, slowly: bool) -> tuple[Any, ...]:
    """(result, unknown fields), or the message of the mismatch."""
    value = copy.deepcopy(value)
    try:
        if slowly:
            walk = conformance._Walk()
            return walk.visit(value, schema, schema.name, ""), walk.unknown
        return value, conformance.conform(value, schema)
    except conformance.MismatchError as error:
        return (str(error),)


@pytest.mark.parametrize("resource", resources.BUILT_IN, ids=lambda r: f"{r.qualified}/{r.version}")
def test_both_roads_agree(resource: resources.Resource) -> None:
    schema = schemas.of(resource)
    dice = random.Random(resource.qualified)
    for _ in range(8):
        value = value_of(schema, dice)
        fast, slow = (outcome(value, schema, slowly=slowly) for slowly in (False, True))
        assert fast == slow
        # The closures themselves must have taken a valid value; else this would compare the slow road with itself.
        conformance._compiled(schema)(copy.deepcopy(value))
        places = fields_of(value)
        if places:
            container, key = dice.choice(places)
            container[key] = dice.choice([None, 1, "x", True, [], {}, {"unknown": 1}, 2**40, 0.5])
            assert outcome(value, schema, slowly=False) == outcome(value, schema, slowly=True)
