"""The types that schemas give, and what JSON becomes by them."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import schemas
from keelson.api.cel import costs, programs, types
from keelson.api.cel.syntax import CelError


def compiled(source: str, properties: dict[str, Any]) -> programs.Program:
    schema = schemas.structural({"type": "object", "properties": properties})
    found = types.of_schema(schema, root=True)
    assert found is not None
    return programs.compile(source, {"self": found})


def value(source: str, properties: dict[str, Any], **fields: Any) -> Any:
    schema = schemas.structural({"type": "object", "properties": properties})
    convert = types.conversion(schema) or (lambda found: found)
    return compiled(source, properties).run({"self": convert(fields)})[0]


@pytest.mark.parametrize(
    ("source", "schema", "found"),
    [
        ("self.a / 2.0 == 0.5", {"type": "number"}, 1),
        (
            "self.a == timestamp('2020-01-01T00:00:00Z')",
            {"type": "string", "format": "date-time"},
            "2020-01-01T00:00:00Z",
        ),
        ("self.a.getFullYear() == 2020", {"type": "string", "format": "date"}, "2020-01-01"),
        ("self.a > duration('1m')", {"type": "string", "format": "duration"}, "90s"),
        ("self.a == b'a'", {"type": "string", "format": "byte"}, "YQ=="),
        ("type(self.a) == int ? self.a == 1 : false", {"x-kubernetes-int-or-string": True}, 1),
        (
            "self.a == [2, 1] && self.a + [3, 1] == [1, 2, 3]",
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            [1, 2],
        ),
        (
            "self.a.all(k, self.a[k] > 0)",
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"x": 1},
        ),
        ("!has(self.a)", {"type": "string", "nullable": True}, None),
    ],
)
def test_values_are_what_their_schema_says(source: str, schema: dict[str, Any], found: Any) -> None:
    assert value(source, {"a": schema}, a=found) is True


def test_names_that_the_language_can_not_spell_are_escaped() -> None:
    text = {"type": "string"}
    names = ["a-b", "a.b", "a/b", "a__b", "namespace", "in", "plain", "ok_name"]
    spelled = [
        "a__dash__b", "a__dot__b", "a__slash__b", "a__underscores__b", "__namespace__", "__in__", "plain", "ok_name",
    ]  # fmt: skip
    for name, other in zip(names, spelled, strict=True):
        assert types.escaped(name) == other
        assert value(f"self.{other} == 'x'", {name: text}, **{name: "x"}) is True
    assert value("self.`a-b` == 'x'", {"a-b": text}, **{"a-b": "x"}) is True


@pytest.mark.parametrize(
    "source", ["self.missing == 1", "self.free.x == 1", "self.metadata.labels == {}", "self.a.b == 1", "self.a == 1"]
)
def test_what_the_schema_does_not_declare_can_not_be_named(source: str) -> None:
    properties = {"a": {"type": "string"}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    with pytest.raises(CelError):
        compiled(source, properties)


def test_every_object_has_its_identity() -> None:
    program = compiled("self.metadata.name == 'n' && self.kind == 'K' && self.apiVersion == 'v'", {})
    assert program.run({"self": {"kind": "K", "apiVersion": "v", "metadata": {"name": "n"}}})[0] is True


def test_the_price_of_a_loop_grows_with_what_the_list_may_hold() -> None:
    def price(**more: Any) -> int:
        items = {"type": "string", "maxLength": 10}
        return costs.most(compiled("self.a.all(x, x == 'y')", {"a": {"type": "array", "items": items, **more}}).tree)

    assert price(maxItems=10) < price(maxItems=1000) < price()
    assert price(maxItems=10) < 200
    nested = {"type": "array", "items": {"type": "string"}}
    program = compiled("self.a.all(x, self.a.all(y, x != y))", {"a": nested})
    assert costs.most(program.tree) > costs.RULE_LIMIT
