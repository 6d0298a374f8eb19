"""What expressions compute with, and how values compare (CEL specification, "Values" and "Numeric Values").

int, float, bool, str, bytes, list, dict and None stand for themselves; a datetime is a timestamp and a timedelta a
duration. What Python has no type for is here. Text in objects stays as JSON has it: `conversions` turn what a schema
says is more than text into these when a rule reads it.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from typing import Any, Final

from keelson.api import quantities

INT64: Final = (-(1 << 63), (1 << 63) - 1)
UINT64_MAX: Final = (1 << 64) - 1


class EvalError(Exception):
    """An evaluation that has no value; `||`, `&&` and the loops may still have one without it.

    `cost` is what the whole program spent until it ended so.
    """

    cost = 0


class BudgetError(Exception):
    """The evaluation has cost more than it may. Nothing absorbs this."""


class Uint(int):
    """An unsigned 64-bit number, which is not of the type of an int."""

    __slots__ = ()


class SetList(list[Any]):
    """A list of x-kubernetes-list-type "set": the order of its elements means nothing."""


class MapList(list[Any]):
    """A list of x-kubernetes-list-type "map", told apart by `keys`."""

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def identity(self, item: Any) -> tuple[Any, ...]:
        """What tells an element apart."""
        return tuple(item.get(key) for key in self.keys) if isinstance(item, dict) else ()


class StructValue(dict[str, Any]):
    """A value made by `Name{…}`; `type_name` is that name, which says where in an object it belongs."""

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self.type_name = type_name


class OptionalValue:
    """An optional: `value` counts where `present`."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any = None, *, present: bool = True) -> None:
        self.value = value
        self.present = present


NONE: Final = OptionalValue(present=False)


class Quantity:
    """An amount such as 1Gi (kubernetes.Quantity)."""

    __slots__ = ("amount", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.amount = quantities.parse(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


class Semver:
    """A version (kubernetes.Semver), ordered as semver.org 2.0.0 says."""

    __slots__ = ("core", "key", "text")

    _PATTERN = re.compile(
        r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    )

    def __init__(self, text: str) -> None:
        match = self._PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"invalid semantic version: {text!r}")
        self.text = text
        self.core = (int(match[1]), int(match[2]), int(match[3]))
        pre = tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in (match[4] or "").split(".") if part
        )
        # A version without a pre-release is later than all with one.
        self.key = (self.core, not pre, pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def to_json(value: Any) -> Any:
    """The JSON of a value, as an object would hold it. Raises EvalError for what no object can hold."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise EvalError("unsupported map key type: keys must be strings")
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return shown_timestamp(value)
    if isinstance(value, timedelta):
        return shown_duration(value)
    if isinstance(value, OptionalValue):
        return to_json(value.value) if value.present else None
    if isinstance(text := getattr(value, "text", None), str):
        return text
    raise EvalError(f"unsupported type of value: {type(value).__name__}")


_NUMBERS = (int, Uint, float)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same: numbers by what they count, lists and maps by what is in them."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is list:
            return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
        if kind is dict:
            return len(left) == len(right) and all(key in right and equal(left[key], right[key]) for key in left)
        if kind is OptionalValue:
            if left.present and right.present:
                return equal(left.value, right.value)
            return bool(left.present == right.present)
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(left == right)
    if isinstance(left, list) and isinstance(right, list):
        return _equal_lists(left, right)
    if isinstance(left, StructValue) and isinstance(right, StructValue):
        return left.type_name == right.type_name and equal(dict(left), dict(right))
    return kind is other and bool(left == right)


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetList) or isinstance(right, SetList):
        return all(any(equal(a, b) for b in right) for a in left)
    keyed = left if isinstance(left, MapList) else right if isinstance(right, MapList) else None
    if keyed is not None:
        found = {keyed.identity(item): item for item in right}
        return all(equal(item, found.get(keyed.identity(item))) for item in left)
    return all(equal(a, b) for a, b in zip(left, right, strict=True))


def joined(left: list[Any], right: list[Any]) -> list[Any]:
    """`left + right`: sets take in what they lack, map lists replace what has the same keys (KEP-2876)."""
    if isinstance(left, SetList):
        return SetList([*left, *(item for item in right if not any(equal(item, have) for have in left))])
    if isinstance(left, MapList):
        fresh = {left.identity(item): item for item in right}
        kept = [fresh.pop(left.identity(item), item) for item in left]
        return MapList([*kept, *fresh.values()], left.keys)
    return [*left, *right]


def int64(number: int) -> int:
    """The number, if an int can hold it. Raises EvalError."""
    if not INT64[0] <= number <= INT64[1]:
        raise EvalError("integer overflow")
    return number


def uint64(number: int) -> Uint:
    """The number, if a uint can hold it. Raises EvalError."""
    if not 0 <= number <= UINT64_MAX:
        raise EvalError("unsigned integer overflow")
    return Uint(number)


_DURATION = re.compile(r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+|[-+]?0")
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_MICROSECONDS = {"ns": 0.001, "us": 1, "µs": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}


def duration(text: str) -> timedelta:
    """A duration in Go's syntax ("1h30m"). Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"invalid duration {text!r}")
    total = sum(float(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(microseconds=-total if text.startswith("-") else total)


def shown_duration(value: timedelta) -> str:
    """A duration as `string()` writes it: seconds."""
    seconds = value / timedelta(seconds=1)
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def timestamp(text: str) -> datetime:
    """A moment of RFC 3339. Raises ValueError."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid timestamp {text!r}")
    zone = "+00:00" if match[4] in "Zz" else match[4]
    return datetime.fromisoformat(f"{match[1]}T{match[2]}.{(match[3] or '0')[:6]:0<6}{zone}")


def shown_timestamp(value: datetime) -> str:
    """A moment as `string()` writes it, in the zone that it was read in."""
    whole, dot, fraction = value.replace(tzinfo=None).isoformat().partition(".")
    zone = value.isoformat()[-6:] if value.utcoffset() else "Z"
    return whole + (f".{fraction.rstrip('0')}" if dot else "") + zone
