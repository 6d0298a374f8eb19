"""Sets of fields, kept as the tree that FieldsV1 writes, so that stored ownership needs no decoding.

A node is a mapping from path element to node: "f:name" a field, "k:{…}" an element of a list by its keys, "v:…" an
element of a set by its value, "i:3" one by its index. A node without children, or with the child ".", is itself a
member. Nodes are never changed once built: operations return new ones and share what did not change. The root is no
member, so `EMPTY` is the empty set. Rules: KEP-555, structured-merge-diff's FieldsV1 serialisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Node = Mapping[str, Any]

LEAF: Node = {}
EMPTY: Node = {}
SELF = "."


class FieldSetError(ValueError):
    """A mapping that is no FieldsV1."""


def _node(member: bool, children: dict[str, Any]) -> Node | None:
    if not children:
        return LEAF if member else None
    return {SELF: LEAF, **children} if member else children


def _member(node: Node) -> bool:
    return not node or SELF in node


def union(left: Node, right: Node) -> Node:
    """The fields in either set."""
    if not left or left is right:
        return right
    if not right:
        return left
    result = dict(left)
    for key, theirs in right.items():
        ours = result.get(key)
        if ours is None:
            result[key] = theirs
        elif ours is not theirs and ours != theirs and key != SELF:
            result[key] = _union(ours, theirs)
    return result


def _union(left: Node, right: Node) -> Node:
    merged = dict(union({k: v for k, v in left.items() if k != SELF}, {k: v for k, v in right.items() if k != SELF}))
    return _node(_member(left) or _member(right), merged) or LEAF


def difference(left: Node, right: Node) -> Node:
    """The fields of `left` that are not in `right`. The same object as `left` where nothing is taken away."""
    if not left or not right:
        return left
    result: dict[str, Any] = {}
    changed = False
    for key, ours in left.items():
        theirs = right.get(key)
        kept = ours if theirs is None or key == SELF else _difference(ours, theirs)
        changed |= kept is not ours
        if kept is not None:
            result[key] = kept
    return result if changed else left


def _difference(left: Node, right: Node) -> Node | None:
    member = _member(left) and not _member(right)
    below = {k: v for k, v in left.items() if k != SELF}
    children = difference(below, right)
    if children is below and member == _member(left):
        return left
    return _node(member, dict(children))


def intersection(left: Node, right: Node) -> Node:
    """The fields in both sets."""
    result: dict[str, Any] = {}
    for key in left.keys() & right.keys() - {SELF}:
        ours, theirs = left[key], right[key]
        found = _node(_member(ours) and _member(theirs), dict(intersection(ours, theirs)))
        if found is not None:
            result[key] = found
    return result


def without(left: Node, roots: Node) -> Node:
    """The fields of `left` that lie neither at nor below a field of `roots`."""
    if not roots:
        return left
    result: dict[str, Any] = {}
    for key, ours in left.items():
        root = roots.get(key)
        if root is None or key == SELF:
            result[key] = ours
        elif not _member(root):
            kept = without(ours, root)
            if kept or not ours:
                result[key] = kept
    return result


def ordered(fields: Node) -> Node:
    """The set with its path elements in the order of their text, as FieldsV1 is written."""
    return {key: ordered(fields[key]) if fields[key] else LEAF for key in sorted(fields)}


def paths(fields: Node, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The members, as tuples of path elements: those of a place before what lies deeper, as conflicts list them."""
    elements = sorted((key for key in fields if key != SELF), key=_rank)
    for key in elements:
        if _member(fields[key]):
            yield (*prefix, key)
    for key in elements:
        yield from paths(fields[key], (*prefix, key))


def _rank(element: str) -> tuple[Any, ...]:
    """The order of elements: fields, keys, values, indexes; numbers by their size."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return (0, rest)
    value = orjson.loads(rest)
    if kind == "k":
        return (1, [(name, _comparable(each)) for name, each in sorted(value.items())])
    return (2, _comparable(value)) if kind == "v" else (3, value)


def _comparable(value: Any) -> tuple[int, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, value)
    return (1, value) if isinstance(value, str) else (2, _json(value))


def text(path: tuple[str, ...]) -> str:
    """A path as conflicts name it: `.spec.containers[name="web"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        pairs = orjson.loads(rest).items()
        return "[" + ",".join(f"{name}={_json(value)}" for name, value in sorted(pairs)) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def by_keys(keys: Mapping[str, Any]) -> str:
    """The path element of a list's element that these keys identify."""
    return "k:" + _json(keys)


def by_value(value: Any) -> str:
    """The path element of a set's element."""
    return "v:" + _json(value)


def checked(fields: Any, depth: int = 0) -> Node:
    """A FieldsV1 that a client sent, in canonical form; FieldSetError where it is none."""
    if not isinstance(fields, dict) or depth > 100:
        raise FieldSetError("fieldsV1 must be a mapping of path elements, not deeper than 100 levels")
    return {_canonical(key): checked(value, depth + 1) for key, value in fields.items()}


def _canonical(key: str) -> str:
    kind, colon, rest = key.partition(":")
    if key == SELF or (kind == "f" and colon):
        return key
    try:
        if kind == "k" and isinstance(keys := orjson.loads(rest), dict):
            return by_keys(keys)
        if kind == "v":
            return by_value(orjson.loads(rest))
        if kind == "i":
            return f"i:{int(rest)}"
    except ValueError as error:
        raise FieldSetError(f"unable to parse path element {key!r}") from error
    raise FieldSetError(f"unable to parse path element {key!r}")
