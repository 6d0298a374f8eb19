"""The functions and operators of the CEL specification ("Standard Definitions")."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keelson.api import regexes
from keelson.api.cel import functions, values
from keelson.api.cel.functions import function
from keelson.api.cel.types import Type
from keelson.api.cel.values import EvalError, Uint

_NUMBERS = (int, float, Uint)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        kind = type(left)
        if kind is not type(right):
            raise EvalError("no such overload")
        if kind is int:
            return values.int64(compute(left, right))
        if kind is Uint:
            return values.uint64(compute(int(left), int(right)))
        if kind is float:
            return compute(left, right)
        raise EvalError("no such overload")

    return apply


def _add(left: Any, right: Any) -> Any:
    kind = type(left)
    try:
        if kind in _NUMBERS:
            return _plus(left, right)
        if isinstance(left, list) and isinstance(right, list):
            return values.joined(left, right)
        if kind is type(right) and kind in (str, bytes, timedelta):
            return left + right
        if (kind, type(right)) in ((datetime, timedelta), (timedelta, datetime)):
            return left + right
    except OverflowError as error:
        raise EvalError("timestamp overflow") from error
    raise EvalError("no such overload")


_plus = _arithmetic(operator.add)
_minus = _arithmetic(operator.sub)


def _subtract(left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if (kind, other) in ((datetime, datetime), (datetime, timedelta), (timedelta, timedelta)):
        try:
            return left - right
        except OverflowError as error:
            raise EvalError("timestamp overflow") from error
    return _minus(left, right)


def _quotient(left: Any, right: Any) -> Any:
    if type(left) is float:
        if right == 0.0:
            return (
                math.nan if left == 0.0 or math.isnan(left) else math.copysign(math.inf, left * math.copysign(1, right))
            )
        return left / right
    if right == 0:
        raise EvalError("division by zero")
    found = abs(left) // abs(right)
    return found if (left < 0) == (right < 0) else -found


def _modulus(left: Any, right: Any) -> Any:
    if type(left) is float:
        raise EvalError("no such overload")
    if right == 0:
        raise EvalError("modulus by zero")
    return int(math.fmod(left, right)) if abs(left) < 1 << 52 else left - right * _quotient(left, right)


def _negate(value: Any) -> Any:
    if type(value) is int:
        return values.int64(-value)
    if type(value) is float:
        return -value
    raise EvalError("no such overload")


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def apply(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if kind is other and kind in (str, int, float, Uint, bytes, bool, datetime, timedelta):
            return compare(left, right)
        if kind in _NUMBERS and other in _NUMBERS:
            return compare(left, right)
        raise EvalError("no such overload")

    return apply


def _contains(item: Any, found: Any) -> bool:
    if isinstance(found, dict):
        return type(item) in (str, int, bool, Uint) and item in found
    if not isinstance(found, list):
        raise EvalError("no such overload")
    return any(values.equal(item, each) for each in found)


def index(found: Any, key: Any) -> Any:
    """`found[key]`. Raises EvalError."""
    if isinstance(found, dict):
        if type(key) is float and key.is_integer():
            key = int(key)
        try:
            return found[key]
        except KeyError:
            raise EvalError(f"no such key: {key}") from None
    if isinstance(found, list):
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) not in (int, Uint):
            raise EvalError("no such overload")
        if not 0 <= key < len(found):
            raise EvalError(f"index out of bounds: {key}")
        return found[key]
    raise EvalError("no such overload")


def _size(value: Any) -> int:
    if type(value) in (str, bytes, dict) or isinstance(value, list):
        return len(value)
    raise EvalError("no such overload")


def _to_int(value: Any) -> int:
    kind = type(value)
    if kind is int or kind is Uint:
        return values.int64(int(value))
    if kind is float:
        if not math.isfinite(value):
            raise EvalError("integer overflow")
        return values.int64(math.trunc(value))
    if kind is datetime:
        return int((value - _EPOCH) // timedelta(seconds=1))
    try:
        return values.int64(int(_digits(value), 10))
    except ValueError as error:
        raise EvalError(f"strconv.ParseInt: parsing {value!r}: invalid syntax") from error


def _digits(text: str) -> str:
    if not text.lstrip("+-").isascii() or not text.lstrip("+-").isdecimal():
        raise ValueError(text)
    return text


def _to_uint(value: Any) -> Uint:
    if type(value) is str:
        try:
            return values.uint64(int(_digits(value), 10))
        except ValueError as error:
            raise EvalError(f"strconv.ParseUint: parsing {value!r}: invalid syntax") from error
    if type(value) is float and not math.isfinite(value):
        raise EvalError("unsigned integer overflow")
    return values.uint64(math.trunc(value))


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise EvalError(f"strconv.ParseFloat: parsing {value!r}: invalid syntax") from error


def shown_float(value: float) -> str:
    """A double in Go's %g: the shortest digits that mean it, with an exponent where that is large."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, power = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    exponent = len(digits) + int(power) - 1
    minus = "-" if sign else ""
    if not text:
        return f"{minus}0"
    if not -4 <= exponent < 6:
        mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
        return f"{minus}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{minus}0.{'0' * (-exponent - 1)}{text}"
    whole, part = text[: exponent + 1].ljust(exponent + 1, "0"), text[exponent + 1 :]
    return f"{minus}{whole}{f'.{part}' if part else ''}"


def shown(value: Any) -> str:
    """A value as `string()` writes it. Raises EvalError."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Uint:
        return str(int(value))
    if kind is float:
        return shown_float(value)
    if kind is bytes:
        try:
            return str(value.decode())
        except UnicodeDecodeError as error:
            raise EvalError("invalid UTF-8 in bytes, cannot convert to string") from error
    if kind is datetime:
        return values.shown_timestamp(value)
    if kind is timedelta:
        return values.shown_duration(value)
    # Addresses, networks and amounts write themselves as they were read.
    return str(getattr(value, "text", value))


def _to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise EvalError(f"strconv.ParseBool: parsing {value!r}: invalid syntax")


def _to_timestamp(value: Any) -> datetime:
    if type(value) is datetime:
        return value
    try:
        return datetime.fromtimestamp(value, UTC) if type(value) is int else values.timestamp(value)
    except (ValueError, OverflowError, OSError) as error:
        raise EvalError(f"invalid timestamp: {value}") from error


def _to_duration(value: Any) -> timedelta:
    if type(value) is timedelta:
        return value
    try:
        return timedelta(seconds=value) if type(value) is int else values.duration(value)
    except (ValueError, OverflowError) as error:
        raise EvalError(f"invalid duration: {value}") from error


def _matches(text: str, pattern: str) -> bool:
    try:
        return regexes.compile(pattern).search(text) is not None
    except regexes.PatternError as error:
        raise EvalError(f"error parsing regexp: {error}") from error


def _zone(name: str) -> tzinfo:
    if name[:1] in "+-" or name[:1].isdecimal():
        hours, _, minutes = name.lstrip("+-").partition(":")
        try:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-offset if name.startswith("-") else offset)
        except ValueError as error:
            raise EvalError(f"unknown time zone {name}") from error
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvalError(f"unknown time zone {name}") from error


def _part(read: Callable[[datetime], int], length: Callable[[timedelta], int] | None = None) -> Callable[..., int]:
    def apply(value: Any, zone: str = "") -> int:
        if isinstance(value, timedelta):
            if length is None:
                raise EvalError("no such overload")
            return length(value)
        return read(value.astimezone(_zone(zone) if zone else UTC))

    return apply


def _units(microseconds: int) -> Callable[[timedelta], int]:
    return lambda value: int((value // timedelta(microseconds=1)) / microseconds)


_WHEN = ".timestamp -> int; .timestamp, string -> int"
_LONG = f"{_WHEN}; .duration -> int"


def _type(value: Any) -> Type:
    return functions.type_of(value)


def _not(value: Any) -> bool:
    if type(value) is not bool:
        raise EvalError("no such overload")
    return not value


_ORDERED = "; ".join(
    f"{t}, {t} -> bool" for t in ("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration")
)
_MIXED = "; ".join(f"{a}, {b} -> bool" for a in ("int", "uint", "double") for b in ("int", "uint", "double") if a != b)
_SAME = "; ".join(f"{t}, {t} -> {t}" for t in ("int", "uint", "double"))

FUNCTIONS = (
    function("_==_", "A, A -> bool", values.equal, functions.shorter, wary=True),
    function("_!=_", "A, A -> bool", lambda a, b: not values.equal(a, b), functions.shorter, wary=True),
    function("_<_", f"{_ORDERED}; {_MIXED}", _comparison(operator.lt), functions.shorter, wary=True),
    function("_<=_", f"{_ORDERED}; {_MIXED}", _comparison(operator.le), functions.shorter, wary=True),
    function("_>_", f"{_ORDERED}; {_MIXED}", _comparison(operator.gt), functions.shorter, wary=True),
    function("_>=_", f"{_ORDERED}; {_MIXED}", _comparison(operator.ge), functions.shorter, wary=True),
    function(
        "_+_",
        f"{_SAME}; string, string -> string; bytes, bytes -> bytes; list(A), list(A) -> list(A); "
        "duration, duration -> duration; timestamp, duration -> timestamp; duration, timestamp -> timestamp",
        _add,
        functions.scan_all,
        wary=True,
    ),
    function(
        "_-_",
        f"{_SAME}; timestamp, timestamp -> duration; timestamp, duration -> timestamp; duration, duration -> duration",
        _subtract,
        wary=True,
    ),
    function("_*_", _SAME, _arithmetic(operator.mul), wary=True),
    function("_/_", _SAME, _arithmetic(_quotient), wary=True),
    function("_%_", "int, int -> int; uint, uint -> uint", _arithmetic(_modulus), wary=True),
    function("-_", "int -> int; double -> double", _negate, wary=True),
    function("!_", "bool -> bool", _not, wary=True),
    function("@in", "A, list(A) -> bool; A, map(A, B) -> bool", _contains, lambda sizes: 1 + sizes[1], wary=True),
    function("_[_]", "list(A), int -> A; map(A, B), A -> B", index),
    function(
        "size",
        "string -> int; bytes -> int; list(A) -> int; map(A, B) -> int; "
        ".string -> int; .bytes -> int; .list(A) -> int; .map(A, B) -> int",
        _size,
    ),
    function("int", "int -> int; uint -> int; double -> int; string -> int; timestamp -> int", _to_int),
    function("uint", "uint -> uint; int -> uint; double -> uint; string -> uint", _to_uint),
    function("double", "double -> double; int -> double; uint -> double; string -> double", _to_double),
    function(
        "string",
        "string -> string; int -> string; uint -> string; double -> string; bool -> string; bytes -> string; "
        "timestamp -> string; duration -> string; ip -> string; cidr -> string; quantity -> string",
        shown,
        functions.scan,
    ),
    function("bytes", "bytes -> bytes; string -> bytes", lambda v: v.encode() if type(v) is str else v, functions.scan),
    function("bool", "bool -> bool; string -> bool", _to_bool),
    function("timestamp", "timestamp -> timestamp; string -> timestamp; int -> timestamp", _to_timestamp),
    function("duration", "duration -> duration; string -> duration; int -> duration", _to_duration),
    function("type", "A -> type(A)", _type),
    function("dyn", "A -> dyn", lambda value: value),
    function("matches", "string, string -> bool; .string, string -> bool", _matches, functions.match),
    function("startsWith", ".string, string -> bool", str.startswith, functions.shorter),
    function("endsWith", ".string, string -> bool", str.endswith, functions.shorter),
    function("contains", ".string, string -> bool", operator.contains, functions.search),
    function("getFullYear", _WHEN, _part(lambda t: t.year)),
    function("getMonth", _WHEN, _part(lambda t: t.month - 1)),
    function("getDate", _WHEN, _part(lambda t: t.day)),
    function("getDayOfMonth", _WHEN, _part(lambda t: t.day - 1)),
    function("getDayOfWeek", _WHEN, _part(lambda t: t.isoweekday() % 7)),
    function("getDayOfYear", _WHEN, _part(lambda t: t.timetuple().tm_yday - 1)),
    function("getHours", _LONG, _part(lambda t: t.hour, _units(3600 * 10**6))),
    function("getMinutes", _LONG, _part(lambda t: t.minute, _units(60 * 10**6))),
    function("getSeconds", _LONG, _part(lambda t: t.second, _units(10**6))),
    function(
        "getMilliseconds",
        _LONG,
        _part(lambda t: t.microsecond // 1000, lambda d: int(d / timedelta(milliseconds=1))),
    ),
)
