"""The list, set and optional libraries (Kubernetes' lists library; CEL's sets extension and optional types)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from keelson.api.cel import functions
from keelson.api.cel.functions import function
from keelson.api.cel.library import standard
from keelson.api.cel.values import NONE, EvalError, OptionalValue, Uint, equal

# More numbers than a rule could look at.
_MOST_RANGE = 1_000_000
# The zero of Go's times.
_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_ADD = next(found.apply for found in standard.FUNCTIONS if found.name == "_+_")
_LESS = next(found.apply for found in standard.FUNCTIONS if found.name == "_<_")


def _is_sorted(items: list[Any]) -> bool:
    return not any(_LESS(later, earlier) for earlier, later in itertools.pairwise(items))


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    total = items[0]
    if type(total) not in (int, float, Uint, timedelta):
        raise EvalError("no such overload")
    for item in items[1:]:
        total = _ADD(total, item)
    return total


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Callable[[list[Any]], Any]:
    def apply(items: list[Any]) -> Any:
        if not items:
            raise EvalError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if better(item, best):
                best = item
        return best

    return apply


def _position(items: list[Any], wanted: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, wanted)), -1)


def _last_position(items: list[Any], wanted: Any) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], wanted)), -1)


def _unwrapped(items: list[Any]) -> list[Any]:
    if not all(isinstance(item, OptionalValue) for item in items):
        raise EvalError("no such overload")
    return [item.value for item in items if item.present]


def ordered(rows: list[tuple[Any, Any]]) -> list[Any]:
    """The second of each pair in the order of the first; equal ones stay as they are. Raises EvalError."""

    def compared(left: tuple[Any, Any], right: tuple[Any, Any]) -> int:
        if _LESS(left[0], right[0]):
            return -1
        return int(_LESS(right[0], left[0]))

    return [value for _, value in sorted(rows, key=functools.cmp_to_key(compared))]


def _sort(items: list[Any]) -> list[Any]:
    return ordered([(item, item) for item in items])


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(equal(item, each) for each in found):
            found.append(item)
    return found


def _range(count: int) -> list[int]:
    if not 0 <= count <= _MOST_RANGE:
        raise EvalError(f"lists.range({count}): size is out of bounds")
    return list(range(count))


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    call = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise EvalError(f"{call}, negative indexes not supported")
    if start > end:
        raise EvalError(f"{call}, start index must be less than or equal to end index")
    if end > len(items):
        raise EvalError(f"{call}, list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], level: int = 1) -> list[Any]:
    if level < 0:
        raise EvalError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if isinstance(item, list):
            found.extend(_flatten(item, level - 1) if level > 1 else item if level else [item])
        else:
            found.append(item)
    return found


def _holds(items: list[Any], wanted: list[Any]) -> bool:
    return all(any(equal(item, each) for item in items) for each in wanted)


def _meets(items: list[Any], others: list[Any]) -> bool:
    return any(equal(item, other) for item in items for other in others)


def _or_value(found: OptionalValue, other: Any) -> Any:
    return found.value if found.present else other


def _value(found: OptionalValue) -> Any:
    if not found.present:
        raise EvalError("optional.none() dereference")
    return found.value


def _of_non_zero(value: Any) -> OptionalValue:
    empty = value is None or (type(value) in (bool, int, float, str, bytes, dict, Uint, timedelta) and not value)
    empty = empty or (isinstance(value, list) and not value) or value == _ZERO_TIME
    return NONE if empty else OptionalValue(value)


def _optional_index(found: Any, key: Any) -> OptionalValue:
    if isinstance(found, OptionalValue):
        if not found.present:
            return NONE
        found = found.value
    try:
        return OptionalValue(standard.index(found, key))
    except EvalError:
        return NONE


_NUMBERS = ("int", "uint", "double")
_ORDERED = (*_NUMBERS, "bool", "string", "bytes", "duration", "timestamp")

FUNCTIONS = (
    function("isSorted", "; ".join(f".list({t}) -> bool" for t in _ORDERED), _is_sorted, functions.each),
    function("sum", "; ".join(f".list({t}) -> {t}" for t in (*_NUMBERS, "duration")), _sum, functions.each),
    function(
        "min",
        "; ".join(f".list({t}) -> {t}" for t in _ORDERED),
        _extreme("min", lambda item, best: bool(_LESS(item, best))),
        functions.each,
    ),
    function(
        "max",
        "; ".join(f".list({t}) -> {t}" for t in _ORDERED),
        _extreme("max", lambda item, best: bool(_LESS(best, item))),
        functions.each,
    ),
    function("indexOf", ".list(A), A -> int", _position, functions.each),
    function("lastIndexOf", ".list(A), A -> int", _last_position, functions.each),
    function("sort", "; ".join(f".list({t}) -> list({t})" for t in _ORDERED), _sort, functions.pairs_of_one),
    function("distinct", ".list(A) -> list(A)", _distinct, functions.pairs_of_one),
    function("first", ".list(A) -> optional(A)", lambda items: OptionalValue(items[0]) if items else NONE),
    function("last", ".list(A) -> optional(A)", lambda items: OptionalValue(items[-1]) if items else NONE),
    function("reverse", ".list(A) -> list(A)", lambda items: items[::-1], functions.each),
    function("slice", ".list(A), int, int -> list(A)", _slice, functions.each),
    function("flatten", ".list(list(A)) -> list(A); .list(dyn), int -> list(dyn)", _flatten, functions.each),
    function("lists.range", "int -> list(int)", _range, lambda _sizes: 100),
    function("sets.contains", "list(A), list(A) -> bool", _holds, functions.pairs),
    function(
        "sets.equivalent",
        "list(A), list(A) -> bool",
        lambda a, b: _holds(a, b) and _holds(b, a),
        functions.pairs,
    ),
    function("sets.intersects", "list(A), list(A) -> bool", _meets, functions.pairs),
    function("optional.of", "A -> optional(A)", OptionalValue),
    function("optional.none", "-> optional(A)", lambda: NONE),
    function("optional.unwrap", "list(optional(A)) -> list(A)", _unwrapped, functions.each),
    function("unwrapOpt", ".list(optional(A)) -> list(A)", _unwrapped, functions.each),
    function("optional.ofNonZeroValue", "A -> optional(A)", _of_non_zero),
    function("hasValue", ".optional(A) -> bool", lambda found: found.present),
    function("value", ".optional(A) -> A", _value),
    function("orValue", ".optional(A), A -> A", _or_value),
    function("or", ".optional(A), optional(A) -> optional(A)", lambda found, other: found if found.present else other),
    function(
        "_[?_]",
        "list(A), int -> optional(A); map(A, B), A -> optional(B); "
        "optional(list(A)), int -> optional(A); optional(map(A, B)), A -> optional(B)",
        _optional_index,
    ),
)
