"""JSON patch: RFC 6902's operations, and the limits."""

import copy
from typing import Any

import pytest

from keelson.api import errors
from keelson.api.patches import json_patch

DOCUMENT = {"a": {"b": [1, 2, 3]}, "c/d": {"e~f": True}, "n": None}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], DOCUMENT),
        ([{"op": "add", "path": "/a/x", "value": 1}], {**DOCUMENT, "a": {"b": [1, 2, 3], "x": 1}}),
        ([{"op": "add", "path": "/a/b/1", "value": 9}], {**DOCUMENT, "a": {"b": [1, 9, 2, 3]}}),
        ([{"op": "add", "path": "/a/b/-", "value": 9}], {**DOCUMENT, "a": {"b": [1, 2, 3, 9]}}),
        ([{"op": "remove", "path": "/a/b/-1"}], {**DOCUMENT, "a": {"b": [1, 2]}}),
        ([{"op": "replace", "path": "/c~1d/e~0f", "value": 0}], {**DOCUMENT, "c/d": {"e~f": 0}}),
        # As upstream's library has it, what RFC 6902 would refuse: a field that is left out is there to be replaced.
        ([{"op": "replace", "path": "/x", "value": 1}], {**DOCUMENT, "x": 1}),
        ([{"op": "move", "from": "/a/b", "path": "/x"}], {"a": {}, "c/d": {"e~f": True}, "n": None, "x": [1, 2, 3]}),
        (
            [
                {"op": "copy", "from": "/a/b", "path": "/x"},
                {"op": "add", "path": "/x/-", "value": 4},
                {"op": "add", "path": "/a/b/-", "value": 5},
            ],
            {**DOCUMENT, "a": {"b": [1, 2, 3, 5]}, "x": [1, 2, 3, 4]},
        ),
        ([{"op": "test", "path": "/n", "value": None}, {"op": "remove", "path": "/n"}, {"op": "remove", "path": "/a"}],
         {"c/d": {"e~f": True}}),
        ([{"op": "replace", "path": "", "value": {"z": 1}}, {"op": "add", "path": "/y", "value": 2}], {"z": 1, "y": 2}),
    ],
)  # fmt: skip
def test_operations(operations: list[Any], expected: Any) -> None:
    document, given = copy.deepcopy(DOCUMENT), copy.deepcopy(operations)
    assert json_patch.apply(document, operations) == expected
    assert document == DOCUMENT
    assert operations == given


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({}, 400),
        (["x"], 400),
        ([{"op": "add", "path": 1, "value": 1}], 400),
        ([{"op": "add", "path": "/x/y", "value": 1}], 422),
        ([{"op": "add", "path": "x", "value": 1}], 422),
        ([{"op": "add", "path": "/x"}], 422),
        ([{"op": "add", "path": "/a/b/5", "value": 1}], 422),
        ([{"op": "add", "path": "/a/b/01", "value": 1}], 422),
        ([{"op": "add", "path": "/a/b/" + "9" * 5000, "value": 1}], 422),
        ([{"op": "remove", "path": "/x"}], 422),
        ([{"op": "remove", "path": ""}], 422),
        ([{"op": "test", "path": "/a/b/0", "value": True}], 422),
        ([{"op": "test", "path": "/c~1d", "value": {}}], 422),
        ([{"op": "move", "from": "/a", "path": "/a/b/c"}], 422),
        ([{"op": "copy", "from": "/x", "path": "/y"}], 422),
        ([{"op": "explode", "path": "/a"}], 422),
        ([{"op": "add", "path": "/" + "/".join(["a"] * 300), "value": 1}], 422),
    ],
)
def test_refused(operations: Any, code: int) -> None:
    with pytest.raises(errors.StatusError) as caught:
        json_patch.apply(DOCUMENT, operations)
    assert caught.value.code == code


def test_too_many_operations() -> None:
    with pytest.raises(errors.StatusError) as caught:
        json_patch.apply({}, [{"op": "test", "path": "/a", "value": None}] * 10_001)
    assert caught.value.code == 413
    assert json_patch.apply({}, [{"op": "test", "path": "/a", "value": None}] * 10_000) == {}


def test_copy_bomb() -> None:
    """Each copy doubles the document; thirty of them would make a gigabyte."""
    bomb = [{"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(30)]
    with pytest.raises(errors.StatusError) as caught:
        json_patch.apply({"a": ["x" * 1000]}, bomb)
    assert caught.value.code == 422


def test_depth_bomb() -> None:
    """Moving a deep value deeper again and again would end in a document that nothing can encode."""
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    operations: list[Any] = []
    for _ in range(4):
        operations += [
            {"op": "add", "path": "/y", "value": copy.deepcopy(deep)},
            {"op": "move", "from": "/x", "path": "/y" + "/a" * 100},
            {"op": "move", "from": "/y", "path": "/x"},
        ]
    with pytest.raises(errors.StatusError) as caught:
        json_patch.apply({"x": {}}, operations)
    assert caught.value.code == 422
