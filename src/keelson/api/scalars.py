"""How single values are read and written anew: what a Go type would make of them on the way through the server.

Times end in UTC, quantities and base64 in canonical form, so that equal objects are equal bytes.
Sources: RFC 3339 (metav1.Time, MicroTime), RFC 4648 (byte fields), the API reference's "Quantity".
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from keelson.api import quantities

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_PLAIN_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class ScalarError(ValueError):
    """Text that its type does not accept; the message is the one that a Go client expects to read."""


def _moment(text: str, layout: str) -> datetime:
    if _RFC_3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ScalarError(f'parsing time "{text}": {error}') from error
    raise ScalarError(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')


@lru_cache(maxsize=1024)
def time(text: str) -> str:
    """metav1.Time: RFC 3339 in UTC, whole seconds."""
    moment = _moment(text, "2006-01-02T15:04:05Z07:00")
    return text if _PLAIN_TIME.fullmatch(text) else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(text: str) -> str:
    """metav1.MicroTime: RFC 3339 in UTC with microseconds."""
    moment = _moment(text, "2006-01-02T15:04:05.000000Z07:00")
    return text if _PLAIN_MICRO_TIME.fullmatch(text) else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=1024)
def _quantity(text: str) -> str:
    try:
        return quantities.canonical(text)
    except quantities.QuantityError as error:
        raise ScalarError(str(error)) from error


def quantity(value: Any) -> str:
    """The canonical text of a quantity given as text or as a number; TypeError where it is neither."""
    if type(value) is str:
        return _quantity(value)
    if type(value) in (int, float):
        return _quantity(repr(value))
    raise TypeError


def base64(text: str) -> str:
    """Standard base64 with padding; line breaks are allowed in and not written out."""
    if "\n" in text or "\r" in text:
        text = text.replace("\r", "").replace("\n", "")
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ScalarError(f"illegal base64 data: {error}") from error
    return text
