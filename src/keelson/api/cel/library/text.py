"""The string and regular-expression libraries (Kubernetes' regex library; CEL's strings extension, version 2)."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from keelson.api import regexes
from keelson.api.cel import functions
from keelson.api.cel.functions import function
from keelson.api.cel.library.standard import shown
from keelson.api.cel.values import EvalError

# White space as Unicode has it.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _upper(text: str) -> str:
    return "".join(char.upper() if char.isascii() else char for char in text)


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise EvalError(f"index out of range: {position}")
    return text[position : position + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise EvalError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, end: int | None = None) -> int:
    if end is None:
        return text.rfind(part)
    if end < 0:
        raise EvalError(f"index out of range: {end}")
    if end > len(text):
        return -1
    return text.rfind(part, 0, end + len(part))


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    return text.replace(old, new, most if most >= 0 else -1)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not separator:
        pieces = list(text)
        return pieces if most < 0 or len(pieces) <= most else [*pieces[: most - 1], "".join(pieces[most - 1 :])]
    return text.split(separator, most - 1 if most > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= len(text) or not 0 <= stop <= len(text):
        raise EvalError(f"index out of range: {start if not 0 <= start <= len(text) else stop}")
    if start > stop:
        raise EvalError(f"invalid substring range. start: {start}, end: {stop}")
    return text[start:stop]


def _join(parts: list[Any], separator: str = "") -> str:
    if not all(type(part) is str for part in parts):
        raise EvalError("no such overload")
    return separator.join(parts)


def _pattern(text: str) -> Any:
    try:
        return regexes.compile(text)
    except regexes.PatternError as error:
        raise EvalError(f"Illegal regex: {error}") from error


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return "" if found is None else str(found.group(0))


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in _pattern(pattern).finditer(text):
        if len(found) == most:
            break
        found.append(match.group(0))
    return found


def _quote(text: str) -> str:
    escapes = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
               "\\": "\\\\", '"': '\\"'}  # fmt: skip
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


# --- format

_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def _clause(value: Any, *, inside: bool = False) -> str:
    """A value as %s writes it; `inside` a list or map text is quoted and doubles have six digits."""
    if isinstance(value, list):
        return "[" + ", ".join(_clause(item, inside=True) for item in value) + "]"
    if isinstance(value, dict):
        rows = sorted((_clause(key, inside=True), _clause(item, inside=True)) for key, item in value.items())
        return "{" + ", ".join(f"{key}:{item}" for key, item in rows) + "}"
    if value is None:
        return "null"
    if inside and type(value) is str:
        return _quote(value)
    if inside and isinstance(value, datetime | timedelta):
        return f'{"timestamp" if isinstance(value, datetime) else "duration"}("{shown(value)}")'
    if inside and type(value) is float and math.isfinite(value):
        return f"{value:f}"
    if type(value) is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return shown(value)


def _whole(value: Any, verb: str) -> int:
    if isinstance(value, int) and (verb == "b" or type(value) is not bool):
        return int(value)
    raise EvalError(f"error during formatting: {verb!r} verb does not take this type")


def _hexadecimal(value: Any, *, upper: bool) -> str:
    if type(value) in (str, bytes):
        text = (value.encode() if type(value) is str else value).hex()
    else:
        text = f"{_whole(value, 'x'):x}"
    return text.upper() if upper else text


def _number(value: Any, verb: str, digits: int) -> str:
    if type(value) not in (int, float):
        raise EvalError(f"error during formatting: {verb!r} verb does not take this type")
    number = float(value)
    if not math.isfinite(number):
        return _clause(number)
    if verb == "f":
        return f"{number:.{digits}f}"
    mantissa, _, exponent = f"{number:.{digits}e}".partition("e")
    return f"{mantissa}\u00d710{exponent.replace('+', '').translate(_RAISED)}"


def _format(text: str, arguments: list[Any]) -> str:
    out: list[str] = []
    position = taken = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char != "%":
            out.append(char)
            continue
        if text.startswith("%", position):
            out.append("%")
            position += 1
            continue
        digits = 6
        if text.startswith(".", position):
            end = position + 1
            while end < len(text) and text[end].isdecimal():
                end += 1
            digits = min(int(text[position + 1 : end] or 0), 100)
            position = end
        if position >= len(text):
            raise EvalError("error during formatting: unexpected end of string")
        if taken >= len(arguments):
            raise EvalError(f"error during formatting: index {taken} out of range")
        out.append(_verb(text[position], arguments[taken], digits))
        position += 1
        taken += 1
    return "".join(out)


def _verb(verb: str, value: Any, digits: int) -> str:
    match verb:
        case "s":
            return _clause(value)
        case "d":
            return str(_whole(value, "d"))
        case "f" | "e":
            return _number(value, verb, digits)
        case "b":
            return f"{_whole(value, 'b'):b}"
        case "o":
            return f"{_whole(value, 'o'):o}"
        case "x" | "X":
            return _hexadecimal(value, upper=verb == "X")
    raise EvalError(f'error during formatting: unrecognized formatting clause "{verb}"')


_SCAN = functions.scan_all
FUNCTIONS = (
    function("charAt", ".string, int -> string", _char_at),
    function("indexOf", ".string, string -> int; .string, string, int -> int", _index_of, functions.search),
    function("lastIndexOf", ".string, string -> int; .string, string, int -> int", _last_index_of, functions.search),
    function("lowerAscii", ".string -> string", _lower, functions.scan),
    function("upperAscii", ".string -> string", _upper, functions.scan),
    function(
        "replace",
        ".string, string, string -> string; .string, string, string, int -> string",
        _replace,
        functions.scan,
    ),
    function("split", ".string, string -> list(string); .string, string, int -> list(string)", _split, functions.scan),
    function("substring", ".string, int -> string; .string, int, int -> string", _substring, functions.scan),
    function("trim", ".string -> string", lambda text: text.strip(_SPACES), functions.scan),
    function("join", ".list(string) -> string; .list(string), string -> string", _join, functions.each),
    function("strings.quote", "string -> string", _quote, functions.scan),
    function("format", ".string, list(dyn) -> string", _format, _SCAN),
    function("find", ".string, string -> string", _find, functions.match),
    function(
        "findAll", ".string, string -> list(string); .string, string, int -> list(string)", _find_all, functions.match
    ),
)
