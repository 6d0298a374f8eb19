"""JSON merge patch: the examples of RFC 7386, appendix A, that have an object on both sides."""

from typing import Any

import pytest

from keelson.api import errors
from keelson.api.patches import merge_patch


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"a": {"b": None}}, {"a": {}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_examples(target: dict[str, Any], patch: Any, expected: Any) -> None:
    assert merge_patch.apply(target, patch) == expected


def test_not_an_object() -> None:
    with pytest.raises(errors.StatusError) as caught:
        merge_patch.apply({}, ["c"])
    assert caught.value.code == 400


def test_arguments_are_left_alone() -> None:
    target = {"a": {"b": 1}}
    merge_patch.apply(target, {"a": {"c": 2, "b": None}})
    assert target == {"a": {"b": 1}}
