"""Values seen through their schema: which fields they set, how two differ, and how one is merged into another.

Maps are granular unless the schema says atomic; lists are atomic unless it says map or set; where it says nothing
(parts of custom resources) maps are granular and lists atomic. Rules: KEP-555, KEP-2576, and the typed values of
structured-merge-diff.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from keelson.api.patches import field_sets
from keelson.api.patches.field_sets import EMPTY, LEAF, SELF, Node
from keelson.api.schemas import MISSING, Schema

_ANY = Schema()
_ANY.preserve_unknown = True

# Go holds these structs and lists of built-in kinds by value and never omits them, so upstream does not count their
# appearance as the setting of a field of its own. The built-in schemas can't tell them from optional ones.
_ALWAYS_THERE = frozenset(
    {"metadata", "spec", "status", "template", "strategy", "updateStrategy", "containers", "loadBalancer"}
)

# The keys of list maps that may be left out; v1's schemas carry no defaults.
_KEY_DEFAULTS = {"protocol": "TCP"}


class TypedValueError(ValueError):
    """A value that does not fit its schema; the message begins with the field's path."""


class Comparison(NamedTuple):
    """What turns one value into another: three sets of fields, disjoint."""

    removed: Node
    modified: Node
    added: Node


def child(schema: Schema, key: str) -> Schema:
    """The schema of a mapping's entry."""
    return schema.properties.get(key) or schema.additional_properties or _ANY


def _granular_map(schema: Schema, value: Any) -> bool:
    return isinstance(value, dict) and schema.map_type != "atomic"


def _associative(schema: Schema, value: Any) -> bool:
    return schema.list_type in {"map", "set"} and isinstance(value, list)


def element(schema: Schema, value: Any) -> str:
    """The path element of a list's element; TypedValueError where a list map's element has none of its keys."""
    if schema.list_type == "set":
        return field_sets.by_value(value)
    if not isinstance(value, dict):
        raise TypedValueError("associative list with keys may not have non-map elements")
    keys: dict[str, Any] = {}
    for key in schema.list_map_keys:
        found = value.get(key)
        if found is None:
            declared = schema.items.properties.get(key) if schema.items else None
            default = declared.default if declared is not None else MISSING
            found = _KEY_DEFAULTS.get(key) if default is MISSING else default
        if found is not None:
            keys[key] = found
    if not keys:
        raise TypedValueError(
            "associative list with keys has an element that omits all key fields "
            f"{list(schema.list_map_keys)} (and doesn't have default values for any key fields)"
        )
    return field_sets.by_keys(keys)


_STEP = re.compile(r"\[(\d+)\]|([^.\[]+)")


def location(schema: Schema, value: Any, path: str) -> str:
    """The path `path` ("spec.ports[0].x") of a value as typed values tell it: `.spec.ports[port=80,…].x`."""
    found = ""
    for index, key in _STEP.findall(path):
        if key:
            found += f".{key}"
            schema, value = child(schema, key), value.get(key) if isinstance(value, dict) else None
            continue
        value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        if schema.list_type == "map" and isinstance(value, dict):
            pairs = (f"{name}={json.dumps(value[name])}" for name in sorted(schema.list_map_keys) if name in value)
            found += f"[{','.join(pairs)}]"
        else:
            found += f"[{index}]"
        schema = schema.items or _ANY
    return found


def _elements(schema: Schema, values: Sequence[Any]) -> dict[str, list[Any]]:
    """The elements by path element. A live list may hold duplicates; a TypedValueError where one has no identity."""
    found: dict[str, list[Any]] = {}
    for value in values:
        found.setdefault(element(schema, value), []).append(value)
    return found


# Which fields a configuration sets


def fields_of(schema: Schema, value: Any, path: str = "", *, stored: bool = False) -> Node:
    """The set of fields that an applied configuration states, or those of a stored object.

    Raises TypedValueError: a field that the schema does not have, an element without keys, or one stated twice. What is
    stored may break these rules; elements without keys are in no set then, and those that share theirs are one field.
    """
    if _granular_map(schema, value):
        return _map_fields(schema, value, path, stored=stored)
    if _associative(schema, value):
        result: dict[str, Any] = {}
        items = schema.items or _ANY
        for each in value:
            try:
                key = element(schema, each)
            except TypedValueError as error:
                if stored:
                    continue
                raise TypedValueError(f"{path or '.'}: {error}") from error
            if key in result:
                if not stored:
                    raise TypedValueError(f"{path}: duplicate entries for key {field_sets.text((key,))}")
                result[key] = LEAF
                continue
            deeper = path + field_sets.text((key,))
            below = fields_of(items, each, deeper, stored=stored) if isinstance(each, dict) else EMPTY
            result[key] = {SELF: LEAF, **below} if below else LEAF
        return result
    return EMPTY


def _map_fields(schema: Schema, value: Mapping[str, Any], path: str, *, stored: bool) -> Node:
    result: dict[str, Any] = {}
    properties, extra = schema.properties, schema.additional_properties
    # A schema that names fields and allows no others refuses them, and so does an object of a kind with no fields.
    closed = bool(properties) and extra is None and not schema.preserve_unknown
    for key, each in value.items():
        named = properties.get(key)
        if named is None and closed and not stored:
            raise TypedValueError(f"{path}.{key}: field not declared in schema")
        below_schema = named or extra or _ANY
        granular = _granular_map(below_schema, each) or _associative(below_schema, each)
        if not granular:
            result[f"f:{key}"] = LEAF
            continue
        below = fields_of(below_schema, each, f"{path}.{key}", stored=stored)
        if below:
            result[f"f:{key}"] = below if named is not None else {SELF: LEAF, **below}
        elif named is None or each == {}:
            # Stated as empty: then the mapping itself is what is wanted. An empty list of elements that have owners of
            # their own states nothing, and no more does what holds nothing else.
            result[f"f:{key}"] = LEAF
    return result


# How two values differ


def compare(schema: Schema, old: Any, new: Any) -> Comparison:
    """What `new` removes, modifies and adds. Both are values of the same schema; equal parts cost one comparison."""
    if _equal(old, new):
        return Comparison(EMPTY, EMPTY, EMPTY)
    removed, modified, added = _compare(schema, old, new)
    return Comparison(removed or EMPTY, modified or EMPTY, added or EMPTY)


def _equal(left: Any, right: Any) -> bool:
    """Whether nothing distinguishes two values but what kind of number is meant: to Python, 1 is true as well."""
    if left is right:
        return True
    if left != right:
        return False
    if left.__class__ in {dict, list}:
        one, other = (orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in (left, right))
        return one == other
    return (left.__class__ is bool) is (right.__class__ is bool)


_Three = tuple[Node | None, Node | None, Node | None]


def _compare(schema: Schema, old: Any, new: Any) -> _Three:
    """The three nodes of one place; None says that nothing is there. The values differ and neither is MISSING."""
    if _granular_map(schema, old) or _granular_map(schema, new):
        # One that is null or empty before and after is a leaf, so that the two stay apart.
        if isinstance(old, dict | None) and isinstance(new, dict | None) and (old or new):
            return _compare_maps(schema, old or {}, new or {})
    elif (_associative(schema, old) or _associative(schema, new)) and (
        isinstance(old, list | None) and isinstance(new, list | None) and (old or new)
    ):
        return _compare_lists(schema, old or [], new or [])
    # What was of another type takes its fields with it, and what is brings its own.
    return _below(schema, old), LEAF, _below(schema, new)


def _below(schema: Schema, value: Any) -> Node | None:
    return {key: node for key, node in _whole(schema, value).items() if key != SELF} or None


def _compare_maps(schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any]) -> _Three:
    removed: dict[str, Any] = {}
    modified: dict[str, Any] = {}
    added: dict[str, Any] = {}
    for key, theirs in new.items():
        ours = old.get(key, MISSING)
        if _equal(ours, theirs):
            continue
        below = child(schema, key)
        if ours is MISSING:
            named = _named(schema, key, below)
            node = _whole(below, theirs, named=named)
            if node or named not in _ALWAYS_THERE:
                added[f"f:{key}"] = node
            continue
        one, two, three = _compare(below, ours, theirs)
        if one is not None:
            removed[f"f:{key}"] = one
        if two is not None:
            modified[f"f:{key}"] = two
        if three is not None:
            added[f"f:{key}"] = three
    for key, ours in old.items():
        if key not in new:
            removed[f"f:{key}"] = _whole(child(schema, key), ours)
    return removed or None, modified or None, added or None


def _compare_lists(schema: Schema, old: Sequence[Any], new: Sequence[Any]) -> _Three:
    try:
        ours, theirs = _elements(schema, old), _elements(schema, new)
    except TypedValueError:
        # Stored data may break the list's rule; such a list can only be owned as a whole.
        return None, LEAF, None
    items = schema.items or _ANY
    removed: dict[str, Any] = {}
    modified: dict[str, Any] = {}
    added: dict[str, Any] = {}
    for key, values in theirs.items():
        before = ours.get(key)
        if before is None:
            added[key] = _whole(items, values[0]) if len(values) == 1 else LEAF
        elif not _equal(before, values):
            if len(before) != 1 or len(values) != 1:
                # Elements that share a key are owned together, by nothing but that key.
                if len(before) == 1:
                    removed[key], added[key] = _whole(items, before[0]), LEAF
                elif len(values) == 1:
                    removed[key], added[key] = LEAF, _whole(items, values[0])
                else:
                    modified[key] = LEAF
                continue
            one, two, three = _compare(items, before[0], values[0])
            if one is not None:
                removed[key] = one
            if two is not None:
                modified[key] = two
            if three is not None:
                added[key] = three
    for key, values in ours.items():
        if key not in theirs:
            removed[key] = _whole(items, values[0]) if len(values) == 1 else LEAF
    return removed or None, modified or None, added or None


def _named(parent: Schema, key: str, below: Schema | None) -> str:
    """The field's name where it is a struct's or a list's in a kind of Go's: only definitions of those have names."""
    return key if parent.name and below is not None and (below.properties or below.items) else ""


def _whole(schema: Schema, value: Any, *, named: str = "") -> Node:
    """The node of a value that is entirely new or gone: itself and all fields below it."""
    children: dict[str, Any] = {}
    if _granular_map(schema, value):
        properties = schema.properties
        for key, each in value.items():
            if each.__class__ in {dict, list}:
                below = properties.get(key)
                name = _named(schema, key, below)
                node = _whole(below or child(schema, key), each, named=name)
                if node or name not in _ALWAYS_THERE:
                    children[f"f:{key}"] = node
            else:
                children[f"f:{key}"] = LEAF
    elif _associative(schema, value):
        items = schema.items or _ANY
        try:
            for each in value:
                key = element(schema, each)
                children[key] = LEAF if key in children else _whole(items, each)
        except TypedValueError:
            return LEAF
    if not children:
        return LEAF
    return children if named in _ALWAYS_THERE else {SELF: LEAF, **children}


# How one value is merged into another


def merge(schema: Schema, live: Any, applied: Any) -> Any:
    """The live value with the applied one laid over it; parts that nobody states are shared with `live`.

    Elements of associative lists come in the applied order; those that only the live list has keep their places
    between the others.
    """
    if applied is None and live and (_granular_map(schema, live) or _associative(schema, live)):
        # As a mapping or list, null has nothing in it that would take the place of what is there.
        return live
    if _granular_map(schema, live) and isinstance(applied, dict):
        result = dict(live)
        for key, each in applied.items():
            result[key] = merge(child(schema, key), live[key], each) if key in live else each
        return result
    if _associative(schema, live) and isinstance(applied, list):
        return _merge_lists(schema, live, applied)
    return applied


def _merge_lists(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    items = schema.items or _ANY
    try:
        ours, theirs = _elements(schema, live), _elements(schema, applied)
    except TypedValueError:
        return applied
    left = [element(schema, each) for each in live]
    right = [element(schema, each) for each in applied]
    shared = [key for key in right if key in ours]
    placed: set[str] = set()
    result: list[Any] = []
    i = j = 0
    while i < len(left) or j < len(right):
        both = i < len(left) and j < len(right)
        if both and left[i] in theirs and left[i] not in (right[j], *shared[:1]):
            # It has its place further on in the applied order, or had it already.
            i += 1
        elif i < len(left) and left[i] not in theirs:
            result.append(live[i])
            i += 1
        elif not both and i < len(left) and left[i] in placed:
            i += 1
        else:
            key = right[j]
            before = ours.get(key, ())
            # A duplicated element has no one value to merge into: the applied one takes the place of all.
            result.append(merge(items, before[0], applied[j]) if len(before) == 1 else applied[j])
            placed.add(key)
            if shared[:1] == [key]:
                del shared[0]
            if both and left[i] == key:
                i += 1
            j += 1
    return result


def remove(schema: Schema, value: Any, doomed: Node) -> Any:
    """The value without the fields of `doomed`.

    A mapping or list that loses all it held stays, empty, unless it is doomed itself: somebody may state it as empty.
    """
    if _granular_map(schema, value):
        kept: dict[str, Any] = {}
        for key, each in value.items():
            node = doomed.get(f"f:{key}")
            left = each if node is None else _remove(child(schema, key), each, node)
            if left is not MISSING:
                kept[key] = left
        return kept
    if _associative(schema, value):
        items = schema.items or _ANY
        rest: list[Any] = []
        for each in value:
            try:
                node = doomed.get(element(schema, each))
            except TypedValueError:
                node = None
            left = each if node is None else _remove(items, each, node)
            if left is not MISSING:
                rest.append(left)
        return rest
    return value


def _remove(schema: Schema, value: Any, node: Node) -> Any:
    return MISSING if not node or SELF in node else remove(schema, value, node)


def with_named_parents(schema: Schema, fields: Node) -> Node:
    """The set with every struct field that leads to a member made a member itself.

    Removal needs this: a struct that nobody states any more goes with all that it holds, defaults included.
    """
    result: dict[str, Any] = {}
    for key, node in fields.items():
        if not node or key == SELF:
            result[key] = node
            continue
        named = schema.properties.get(key[2:]) if key.startswith("f:") else None
        below = (schema.additional_properties if key.startswith("f:") else schema.items) or _ANY
        inner = with_named_parents(named or below, node)
        result[key] = {SELF: LEAF, **inner} if named is not None else inner
    return result
