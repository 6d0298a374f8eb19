"""Rules of a CRD: which are refused with it, and what they say of its objects."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import schemas
from keelson.api.validation import rules, validate_structural

TEXT, NUMBER = {"type": "string", "maxLength": 50}, {"type": "integer"}


def schema(*stated: Any, **properties: Any) -> dict[str, Any]:
    """A schema whose spec has these rules and properties."""
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": list(stated)}
    return {"type": "object", "properties": {"spec": spec}}


def judged(found: dict[str, Any], new: Any, old: Any = None) -> list[tuple[str, str]]:
    """(field, message) of the causes against a spec."""
    compiled = schemas.structural(found)
    before = None if old is None else {"spec": old}
    return [(cause["field"], cause["message"]) for cause in validate_structural(compiled, {"spec": new}, before)]


def checked(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cause["field"], cause["message"]) for cause in rules.check("schema", found)]


def test_a_rule_that_holds_says_nothing_and_one_that_fails_says_what_it_was() -> None:
    found = schema({"rule": "self.a <= self.b"}, a=NUMBER, b=NUMBER)
    assert judged(found, {"a": 1, "b": 2}) == []
    assert judged(found, {"a": 3, "b": 2}) == [("spec", "Invalid value: failed rule: self.a <= self.b")]
    assert judged(found, {"a": 3}) == [
        ("spec", 'Invalid value: "object": no such key: b evaluating rule: self.a <= self.b')
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"message": "too big"}, ("spec", "Invalid value: too big")),
        (
            {"message": "x", "messageExpression": "'a is ' + string(self.a)"},
            ("spec", "Invalid value: a is 3"),
        ),
        ({"message": "kept", "messageExpression": "string(1 / 0)"}, ("spec", "Invalid value: kept")),
        ({"message": "m", "reason": "FieldValueForbidden"}, ("spec", "Forbidden: m")),
        ({"message": "m", "reason": "FieldValueRequired", "fieldPath": ".b"}, ("spec.b", "Required value: m")),
    ],
)
def test_failures_are_worded_as_the_rule_asks(more: dict[str, str], expected: tuple[str, str]) -> None:
    assert judged(schema({"rule": "self.a < 3", **more}, a=NUMBER, b=NUMBER), {"a": 3}) == [expected]


def test_rules_at_scalars_lists_and_maps_judge_each_value() -> None:
    name = {**TEXT, "x-kubernetes-validations": [{"rule": "self.startsWith('x')"}]}
    found = schema(
        names={"type": "array", "maxItems": 5, "items": name},
        by={"type": "object", "maxProperties": 5, "additionalProperties": name},
    )
    assert judged(found, {"names": ["xa", "b"], "by": {"k": "c", "l": "xc"}}) == [
        ("spec.names[1]", "Invalid value: \"b\": failed rule: self.startsWith('x')"),
        ("spec.by.k", "Invalid value: \"c\": failed rule: self.startsWith('x')"),
    ]


def test_transitions_are_judged_where_there_was_something_before() -> None:
    found = schema({"rule": "self.a >= oldSelf.a", "message": "must not shrink"}, a=NUMBER)
    assert judged(found, {"a": 1}) == []
    assert judged(found, {"a": 2}, {"a": 1}) == []
    assert judged(found, {"a": 1}, {"a": 2}) == [("spec", "Invalid value: must not shrink")]
    first = schema({"rule": "!oldSelf.hasValue() || self.a == oldSelf.value().a", "optionalOldSelf": True}, a=NUMBER)
    assert judged(first, {"a": 1}) == []
    assert judged(first, {"a": 1}, {"a": 2}) != []


def test_elements_of_a_map_list_are_judged_against_their_former_selves() -> None:
    part = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": TEXT, "size": NUMBER},
        "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size"}],
    }
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "maxItems": 5}
    found = schema(parts={"type": "array", "items": part, **keyed})
    old = {"parts": [{"name": "a", "size": 2}, {"name": "b", "size": 2}]}
    new = {"parts": [{"name": "b", "size": 1}, {"name": "c", "size": 0}, {"name": "a", "size": 3}]}
    assert [field for field, _ in judged(found, new, old)] == ["spec.parts[0]"]


def test_what_did_not_change_is_not_judged_again() -> None:
    bad = {**NUMBER, "x-kubernetes-validations": [{"rule": "self < 3"}]}
    found = schema(a=bad, b=NUMBER)
    assert judged(found, {"a": 5, "b": 2}, {"a": 5, "b": 1}) == []
    assert judged(found, {"a": 6, "b": 2}, {"a": 5, "b": 1}) != []


def test_an_object_of_the_wrong_shape_is_told_that_its_rules_wait() -> None:
    found = judged(schema({"rule": "self.a < 3"}, a=NUMBER), {"a": "x"})
    assert [field for field, _ in found] == ["spec.a", "<nil>"]
    assert "some validation rules were not checked" in found[1][1]


def test_a_rule_that_runs_away_is_stopped() -> None:
    found = schema(
        {"rule": "self.a.all(x, self.a.all(y, self.a.all(z, x + y + z >= 0)))"}, a={"type": "array", "items": NUMBER}
    )
    (cause,) = judged(found, {"a": list(range(300))})
    assert "call cost exceeds limit for rule" in cause[1]


def test_good_rules_are_accepted() -> None:
    assert checked(schema({"rule": "self.a <= self.b && self.a >= oldSelf.a"}, a=NUMBER, b=NUMBER)) == []


@pytest.mark.parametrize(
    ("stated", "field", "words"),
    [
        ({"rule": "self.z > 1"}, "rule", "compilation failed: ERROR: <input>:1:5: undefined field 'z'"),
        ({"rule": "self.a +"}, "rule", "compilation failed: ERROR: <input>:1:9: Syntax error"),
        ({"rule": "self.a"}, "rule", "must evaluate to a bool"),
        ({"rule": " "}, "rule", "Required value: rule is not specified"),
        ({"rule": "true", "message": "a\nb"}, "message", "must not contain line breaks"),
        ({"rule": "true", "message": " "}, "message", "must be non-empty if specified"),
        ({"rule": "1 ==\n1"}, "message", "message must be specified if rule contains line breaks"),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", "oldSelf is not used in rule"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression", "must evaluate to a string"),
        ({"rule": "true", "messageExpression": "x"}, "messageExpression", "compilation failed"),
        ({"rule": "true", "reason": "Because"}, "reason", "Unsupported value"),
        ({"rule": "true", "fieldPath": "a b"}, "fieldPath", "must be a valid path"),
    ],
)
def test_bad_rules_are_refused_with_their_definition(stated: dict[str, Any], field: str, words: str) -> None:
    ((where, message),) = checked(schema(stated, a=NUMBER))
    assert where == f"schema.properties[spec].x-kubernetes-validations[0].{field}"
    assert words in message


def test_a_transition_needs_a_former_value_that_can_be_found() -> None:
    item = {**NUMBER, "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}
    ((_, message),) = checked(schema(a={"type": "array", "maxItems": 5, "items": item}))
    assert "uncorrelatable portion of the schema" in message


def test_rules_that_may_cost_too_much_are_refused() -> None:
    stated = [{"rule": 'self.all(s, s == "string constant")'}]
    item = {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": stated}
    found = checked(schema(a={"type": "array", "items": item}))
    assert "estimated rule cost exceeds budget by factor of more than 100x" in found[0][1]
    assert "estimated rule cost total for entire OpenAPIv3 schema exceeds budget" in found[1][1]
