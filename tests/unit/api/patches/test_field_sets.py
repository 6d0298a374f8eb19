"""The algebra of field sets, against sets of paths that Python computes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from keelson.api.patches import field_sets

PATHS = st.sets(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}']), min_size=1, max_size=3).map(tuple), max_size=8)


def _tree(paths: set[tuple[str, ...]]) -> field_sets.Node:
    result: field_sets.Node = {}
    for path in paths:
        node: field_sets.Node = {}
        for element in reversed(path):
            node = {element: node}
        result = field_sets.union(result, node)
    return result


@settings(max_examples=200, deadline=None)
@given(PATHS, PATHS)
def test_algebra(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> None:
    one, two = _tree(left), _tree(right)
    assert set(field_sets.paths(one)) == left
    assert set(field_sets.paths(field_sets.union(one, two))) == left | right
    assert set(field_sets.paths(field_sets.difference(one, two))) == left - right
    assert set(field_sets.paths(field_sets.intersection(one, two))) == left & right
    kept = {path for path in left if not any(path[: len(root)] == root for root in right)}
    assert set(field_sets.paths(field_sets.without(one, two))) == kept
    assert set(field_sets.paths(one)) == left


def test_text() -> None:
    path = ("f:spec", 'k:{"port":80,"protocol":"TCP"}', 'v:"x"', "i:2")
    assert field_sets.text(path) == '.spec[port=80,protocol="TCP"][="x"][2]'


def test_keys_are_canonical() -> None:
    assert field_sets.checked({'k:{"b":1, "a":"x"}': {".": {}}}) == {'k:{"a":"x","b":1}': {".": {}}}
