"""Numbers that requests state as text: 64 bits wide, as Go reads them, however many digits they have."""

from __future__ import annotations

from keelson.api import errors

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
# More digits than any of them has; Python is asked to read no more (CVE-2020-10735).
_DIGITS = 19


def integer(text: str) -> int:
    """A query parameter's number. Raises StatusError 400 in the words of Go's strconv."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    significant = digits.lstrip("0")
    if len(significant) <= _DIGITS:
        value = int(significant or "0") * (-1 if text.startswith("-") else 1)
        if _LEAST <= value <= _MOST:
            return value
    raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
