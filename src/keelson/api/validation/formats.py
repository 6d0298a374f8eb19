"""Formats of text that a CRD's schema may ask for; those that are not named here are not judged.

The names and their meanings are those of apiextensions.k8s.io/v1, JSONSchemaProps.format (RFC 3339 for times, RFC 4648
for bytes, RFC 4122 for UUIDs). Names are compared without their dashes, so "date-time" is "datetime".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

from keelson.api.schemas import Schema
from keelson.api.validation import names

_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_WORDY_DURATION = re.compile(r"(\d+)\s*([A-Za-zµ]+)")
_UNITS = frozenset({"ns", "us", "µs", "ms", "s", "sec", "m", "min", "h", "hr", "d", "w", "wk"})
_UNIT_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_HOST = re.compile(r"[a-z0-9](-?[a-z0-9]{0,62})?|([a-z0-9](([a-z0-9-]{0,61}[a-z0-9])?)\.)+[a-z]{2,63}", re.IGNORECASE)
_CARD = re.compile(
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11}"
)
_PART = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_HEX4 = "[0-9a-fA-F]{4}"


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _tried(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _uuid(version: str, variant: str = "[0-9a-fA-F]") -> Callable[[str], bool]:
    third = f"{version}[0-9a-fA-F]{{3}}"
    return _matches(f"[0-9a-fA-F]{{8}}-?{_HEX4}-?{third}-?{variant}[0-9a-fA-F]{{3}}-?[0-9a-fA-F]{{12}}")


def _date(text: str) -> None:
    if len(text) != len("2006-01-02"):
        raise ValueError(text)
    datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a calendar date has no zone


def _date_time(text: str) -> bool:
    day, _, rest = text.lower().partition("t")
    clock = _TIME.fullmatch(rest)
    if clock is None or not _tried(_date)(day):
        return False
    return clock[1] <= "23" and clock[2] <= "59" and clock[3] <= "59"


def _duration(text: str) -> bool:
    if _DURATION.fullmatch(text):
        return True
    # Words as well ("22 nanos, 3 min"): one that is known is enough.
    units = (unit.lower() for _, unit in _WORDY_DURATION.findall(text))
    return any(unit in _UNITS or unit.startswith(_UNIT_PREFIXES) for unit in units)


def _host(text: str) -> bool:
    return len(text) <= 255 and _HOST.fullmatch(text) is not None and all(len(p) <= 63 for p in text.split("."))


def _address(text: str) -> bool:
    parsed = parseaddr(text)[1]
    local, at, domain = parsed.rpartition("@")
    return bool(at and local and domain) and " " not in parsed


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(text) and text.isprintable() and (text.startswith("/") or bool(parts.scheme))


def _version(wanted: int, mark: str) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        # Leading zeros are read as decimal, as Go's older parser has it.
        plain = ".".join(part.lstrip("0") or "0" for part in text.split(".")) if wanted == 4 else text
        try:
            return mark in text and ipaddress.ip_address(plain).version in (wanted, 6)
        except ValueError:
            return False

    return check


def _network(text: str) -> None:
    address, slash, _ = text.partition("/")
    if not slash or "%" in address:
        raise ValueError(text)
    ipaddress.ip_network(text, strict=False)


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _isbn10(text: str) -> bool:
    plain = _digits(text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", plain):
        return False
    return sum(at * (10 if digit == "X" else int(digit)) for at, digit in enumerate(plain, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = _digits(text)
    if not re.fullmatch(r"[0-9]{13}", plain):
        return False
    return sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(plain)) % 10 == 0


def _card(text: str) -> bool:
    plain = re.sub(r"[^0-9]", "", text)
    if not _CARD.fullmatch(plain):
        return False
    total = 0
    for at, digit in enumerate(reversed(plain)):
        value = int(digit) * (2 if at % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _address,
    "hostname": _host,
    "ipv4": _version(4, "."),
    "ipv6": _version(6, ":"),
    "cidr": _tried(_network),
    "mac": _matches(
        r"([0-9a-fA-F]{2}([:-]))(?:[0-9a-fA-F]{2}\2){4}[0-9a-fA-F]{2}(?:(?:\2[0-9a-fA-F]{2}){2}|(?:\2[0-9a-fA-F]{2}){14})?"
        rf"|{_HEX4}(?:\.{_HEX4}){{2,3}}|{_HEX4}(?:\.{_HEX4}){{9}}"
    ),
    "uuid": _uuid("[0-9a-fA-F]"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89abAB]"),
    "uuid5": _uuid("5", "[89abAB]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _matches(r"\d{3}[- ]\d{2}[- ]\d{4}"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(rf"rgb\({_PART},{_PART},{_PART}\)"),
    "byte": _matches(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "password": lambda _text: True,
    "date": _tried(_date),
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": lambda text: not names.dns_label(text),
    "k8slongname": lambda text: not names.dns_subdomain(text),
}
_NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def supported(schema: Schema) -> str:
    """The format that a node's values are judged by, "" where it states none or one that its type does not have."""
    stated: str = schema.constraints.get("format", "")
    if not stated:
        return ""
    if schema.type in _NUMBERS:
        return stated if stated in _NUMBERS[schema.type] else ""
    return stated if schema.type in ("", "string") and stated.replace("-", "") in _CHECKS else ""


def accepts(form: str, text: str) -> bool:
    """Whether a text has a supported format."""
    check = _CHECKS.get(form.replace("-", ""))
    return check is None or check(text)
