"""Kubernetes' own types: amounts, versions, URLs, and the named formats of names and labels."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from keelson.api.cel import functions, values
from keelson.api.cel.functions import function
from keelson.api.cel.values import NONE, EvalError, OptionalValue, Quantity, Semver, int64
from keelson.api.quantities import QuantityError
from keelson.api.validation import names


def _made(make: Callable[[str], Any], why: str = "") -> Callable[[str], Any]:
    def apply(text: str) -> Any:
        try:
            return make(text)
        except ValueError as error:
            raise EvalError(f"{why}{error}") from error

    return apply


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def apply(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return apply


# --- quantities


def _whole(found: Quantity) -> int:
    if found.amount != found.amount.to_integral_value():
        raise EvalError("cannot convert value to integer")
    return int64(int(found.amount))


def _is_whole(found: Quantity) -> bool:
    return found.amount == found.amount.to_integral_value() and -(1 << 63) <= found.amount < 1 << 63


def _changed(found: Quantity, other: Quantity | int, sign: int) -> Quantity:
    result = Quantity("0")
    result.amount = found.amount + sign * (other.amount if isinstance(other, Quantity) else Decimal(other))
    result.text = format(result.amount.normalize(), "f")
    return result


def _compared(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


# --- versions


def _semver(text: str, normalize: bool = False) -> Semver:
    if normalize:
        core, dash, rest = text.strip().removeprefix("v").partition("-")
        parts = [str(int(part)) if part.isdecimal() else part for part in core.split(".")]
        text = ".".join([*parts, "0", "0"][: max(len(parts), 3)]) + dash + rest
    return Semver(text)


# --- URLs


def _url(text: str) -> SplitResult:
    found = urlsplit(text)
    if not found.scheme and not text.startswith("/"):
        raise ValueError(f'parse "{text}": invalid URI for request')
    if any(char in found.netloc for char in " <>") or not text.isprintable():
        raise ValueError(f'parse "{text}": invalid character in URL')
    # Reading the port checks it.
    if found.port is not None and found.port < 0:
        raise ValueError("invalid port")
    return found


# What a path may hold as it is; what is escaped already stays so.
_UNESCAPED = "/:@!$&'()*+,;=~-._%"


def _host(found: SplitResult) -> str:
    return found.netloc.rpartition("@")[2]


def _hostname(found: SplitResult) -> str:
    host = _host(found)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise EvalError(f"illegal base64 data: {error}") from error


# --- named formats


class NamedFormat:
    """A format of text by its name, which finds what is wrong with a text."""

    type_name = "kubernetes.NamedFormat"

    def __init__(self, name: str, rule: Callable[[str], str]) -> None:
        self.name = name
        self._rule = rule

    def validate(self, text: str) -> OptionalValue:
        """The complaints, none where the text is fine."""
        complaint = self._rule(text)
        return OptionalValue([complaint]) if complaint else NONE


_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def _uuid(text: str) -> None:
    if not _UUID.fullmatch(text):
        raise ValueError(text)


def _bytes(text: str) -> None:
    base64.b64decode(text, validate=True)


def _date(text: str) -> None:
    if len(text) != len("2006-01-02"):
        raise ValueError(text)
    date.fromisoformat(text)


def _by_attempt(make: Callable[[str], Any], complaint: str) -> Callable[[str], str]:
    fine = _is(make)
    return lambda text: "" if fine(text) else complaint


_FORMATS = {
    found.name: found
    for found in (
        NamedFormat("dns1123Label", names.dns_label),
        NamedFormat("dns1123Subdomain", names.dns_subdomain),
        NamedFormat("dns1035Label", names.dns_1035_label),
        NamedFormat("qualifiedName", names.qualified_name),
        NamedFormat("dns1123LabelPrefix", lambda text: names.as_prefix(names.dns_label, text)),
        NamedFormat("dns1123SubdomainPrefix", lambda text: names.as_prefix(names.dns_subdomain, text)),
        NamedFormat("dns1035LabelPrefix", lambda text: names.as_prefix(names.dns_1035_label, text)),
        NamedFormat("labelValue", names.label_value),
        NamedFormat("uri", _by_attempt(_url, "must be a URI")),
        NamedFormat("uuid", _by_attempt(_uuid, "does not match the UUID format")),
        NamedFormat("byte", _by_attempt(_bytes, "must be a valid base64 string")),
        NamedFormat("date", _by_attempt(_date, "must be a date")),
        NamedFormat("datetime", _by_attempt(values.timestamp, "must be a date and time")),
    )
}


def _named(name: str) -> OptionalValue:
    found = _FORMATS.get(name)
    return NONE if found is None else OptionalValue(found)


def _constant(name: str) -> Callable[[], NamedFormat]:
    return lambda: _FORMATS[name]


_AMOUNTS = ".quantity, quantity -> bool"
_VERSIONS = ".semver, semver -> bool"
FUNCTIONS = (
    function("quantity", "string -> quantity", _made(Quantity), functions.scan),
    function("isQuantity", "string -> bool", _is(Quantity), functions.scan),
    function("sign", "quantity -> int", lambda found: _compared(found.amount, 0)),
    function("isInteger", ".quantity -> bool", _is_whole),
    function("asInteger", ".quantity -> int", _whole),
    function("asApproximateFloat", ".quantity -> double", lambda found: float(found.amount)),
    function("add", ".quantity, quantity -> quantity; .quantity, int -> quantity", lambda a, b: _changed(a, b, 1)),
    function("sub", ".quantity, quantity -> quantity; .quantity, int -> quantity", lambda a, b: _changed(a, b, -1)),
    function(
        "semver",
        "string -> semver; string, bool -> semver",
        lambda *a: _made(lambda t: _semver(t, *a[1:]), "semver: ")(a[0]),
    ),
    function("isSemver", "string -> bool; string, bool -> bool", lambda *a: _is(lambda t: _semver(t, *a[1:]))(a[0])),
    function("major", ".semver -> int", lambda found: found.core[0]),
    function("minor", ".semver -> int", lambda found: found.core[1]),
    function("patch", ".semver -> int", lambda found: found.core[2]),
    function(
        "isGreaterThan",
        f"{_AMOUNTS}; {_VERSIONS}",
        lambda a, b: a.amount > b.amount if isinstance(a, Quantity) else a.key > b.key,
    ),
    function(
        "isLessThan",
        f"{_AMOUNTS}; {_VERSIONS}",
        lambda a, b: a.amount < b.amount if isinstance(a, Quantity) else a.key < b.key,
    ),
    function(
        "compareTo",
        ".quantity, quantity -> int; .semver, semver -> int",
        lambda a, b: _compared(a.amount, b.amount) if isinstance(a, Quantity) else _compared(a.key, b.key),
    ),
    function("url", "string -> url", _made(_url, "URL parse error during conversion from string: "), functions.scan),
    function("isURL", "string -> bool", _is(_url), functions.scan),
    function("getScheme", ".url -> string", lambda found: found.scheme),
    function("getHost", ".url -> string", _host),
    function("getHostname", ".url -> string", _hostname),
    function("getPort", ".url -> string", lambda found: str(found.port) if found.port is not None else ""),
    function("getEscapedPath", ".url -> string", lambda found: quote(found.path, safe=_UNESCAPED)),
    function(
        "getQuery",
        ".url -> map(string, list(string))",
        lambda found: parse_qs(found.query, keep_blank_values=True, max_num_fields=10_000),
    ),
    function("base64.encode", "bytes -> string", lambda data: base64.b64encode(data).decode(), functions.scan),
    function("base64.decode", "string -> bytes", _decode, functions.scan),
    function("format.named", "string -> optional(format)", _named),
    function(
        "validate", ".format, string -> optional(list(string))", NamedFormat.validate, lambda s: functions.scan(s[1:])
    ),
    *(function(f"format.{name}", "-> format", _constant(name)) for name in _FORMATS),
)

# A QuantityError is a ValueError, on which `_made` and `_is` count.
assert issubclass(QuantityError, ValueError)
