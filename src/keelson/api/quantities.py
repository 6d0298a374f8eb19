"""Quantities: "500m", "1.5Gi", "3e6" as exact numbers, and back into their canonical text.

A quantity keeps nine decimal places, finer ones are rounded away from zero, and its magnitude is capped at 2⁶³-1.
Rules: the API reference's "Quantity" (resource.Quantity), whose canonical form this module writes.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal
from functools import lru_cache

# What JSON may carry for a quantity: text, or a bare number.
Value = str | int | float | Decimal

BINARY, DECIMAL, EXPONENT = "BinarySI", "DecimalSI", "DecimalExponent"

_FORM = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([a-zA-Z]*)([+-]?[0-9]*)", re.ASCII)
_BINARY_SUFFIXES = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES = {power: name for name, power in _BINARY_SUFFIXES.items()}
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL_SUFFIXES.items()}
_MAXIMUM = Decimal(2**63 - 1)
_NANO = Decimal(1).scaleb(-9)
# Digits enough for every product below; what is longer than this in the text is refused or rounded before.
_EXACT = Context(prec=120)
_LONGEST = 100

RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityError(ValueError):
    """Text that is no quantity; the message is upstream's."""


def parse(value: Value) -> Decimal:
    """The exact number; QuantityError where the value is no quantity."""
    return _parse(_text(value))[0]


def notation(value: Value) -> str:
    """Which of BINARY, DECIMAL and EXPONENT the value is written in."""
    return _parse(_text(value))[1]


def milli(value: Value) -> int:
    """Thousandths, rounded up: "1" is 1000, "100m" is 100. How CPU is counted."""
    return int(_EXACT.multiply(parse(value), Decimal(1000)).to_integral_value(ROUND_CEILING))


def whole(value: Value) -> int:
    """Units, rounded up: "1Ki" is 1024, "1500m" is 2. How memory and counts are counted."""
    return int(parse(value).to_integral_value(ROUND_CEILING))


def canonical(value: Value) -> str:
    """The value as the API writes it: no fraction, the largest suffix that keeps it exact, same notation."""
    number, form = _parse(_text(value))
    return format(number, form)


def equal(left: Value, right: Value) -> bool:
    """Whether two quantities are the same number, however they are written."""
    return parse(left) == parse(right)


def format(number: Decimal | int, form: str = DECIMAL) -> str:  # noqa: A001 - the pair of `parse`
    """The canonical text of a number in a notation."""
    number = _limit(Decimal(number))
    if form == BINARY and abs(number) >= 1024 and number == number.to_integral_value():
        mantissa, power = int(number), 0
        while mantissa % 1024 == 0 and power < 6:
            mantissa, power = mantissa // 1024, power + 1
        return f"{mantissa}{_BINARY_NAMES.get(power, '')}"
    if not number:
        return "0"
    mantissa, power = int(_EXACT.scaleb(number, 9)), -9
    while mantissa % 1000 == 0 and power < 18:
        mantissa, power = mantissa // 1000, power + 3
    if form == EXPONENT:
        return f"{mantissa}e{power}" if power else str(mantissa)
    return f"{mantissa}{_DECIMAL_NAMES[power]}"


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise QuantityError(RULE)
    return str(value) if isinstance(value, int) else f"{Decimal(str(value)):f}"


# Specs of one cluster repeat a few dozen quantities; the cache makes them cost a look-up.
@lru_cache(maxsize=1024)
def _parse(text: str) -> tuple[Decimal, str]:
    match = _FORM.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise QuantityError(RULE)
    sign, whole_digits, fraction, suffix, exponent = match.groups()
    if len(whole_digits) + len(fraction or "") > _LONGEST:
        raise QuantityError("unable to parse numeric part of quantity")
    number = Decimal(f"{sign}{whole_digits or '0'}.{fraction or '0'}")
    if exponent:
        if suffix not in {"e", "E"} or exponent in {"+", "-"}:
            raise QuantityError("unable to parse quantity's suffix")
        # Beyond these powers the number is capped or rounded whatever its digits are.
        power = max(-_LONGEST - 20, min(_LONGEST + 20, int(exponent[:8])))
        return _limit(_EXACT.scaleb(number, power)), EXPONENT
    if suffix in _BINARY_SUFFIXES:
        return _limit(_EXACT.multiply(number, Decimal(1024 ** _BINARY_SUFFIXES[suffix]))), BINARY
    if suffix in _DECIMAL_SUFFIXES:
        return _limit(_EXACT.scaleb(number, _DECIMAL_SUFFIXES[suffix])), DECIMAL
    raise QuantityError("unable to parse quantity's suffix")


def _limit(number: Decimal) -> Decimal:
    if abs(number) >= _MAXIMUM:
        return _MAXIMUM.copy_sign(number)
    return _EXACT.quantize(number, _NANO).normalize(_EXACT) if _fits(number) else _round(number)


def _fits(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -9


def _round(number: Decimal) -> Decimal:
    return number.quantize(_NANO, ROUND_UP, _EXACT).normalize(_EXACT)
