"""Quantities: exact values, canonical text, refusals."""

from decimal import Decimal

import pytest

from keelson.api import quantities


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [
        ("0", "0", "0"),
        ("-0", "0", "0"),
        ("100m", "0.1", "100m"),
        ("1.5", "1.5", "1500m"),
        ("1500", "1500", "1500"),
        ("1000", "1000", "1k"),
        ("0.5Gi", "536870912", "512Mi"),
        ("1Ki", "1024", "1Ki"),
        ("1023", "1023", "1023"),
        ("512Ki", "524288", "512Ki"),
        ("1.1Mi", "1153433.6", "1153433600m"),
        ("1e3", "1000", "1e3"),
        ("12E", "9223372036854775807", "9223372036854775807"),
        ("1E", "1000000000000000000", "1E"),
        ("1E2", "100", "100"),
        ("5n", "0.000000005", "5n"),
        ("0.1n", "0.000000001", "1n"),
        ("-0.1n", "-0.000000001", "-1n"),
        ("1e-12", "0.000000001", "1e-9"),
        ("1e999999999", "9223372036854775807", "9223372036854775807"),
        ("+3.", "3", "3"),
        (".5", "0.5", "500m"),
        ("-2Gi", "-2147483648", "-2Gi"),
        ("0.001Ki", "1.024", "1024m"),
    ],
)
def test_parse_and_canonical(text: str, number: str, canonical: str) -> None:
    assert quantities.parse(text) == Decimal(number)
    assert quantities.canonical(text) == canonical
    assert quantities.parse(canonical) == quantities.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "m", "1 ", " 1", "1KiB", "1ki", "1m3", "1e", "1e+", "1.2.3", "--1", "0x1", "NaN", "1" * 200, "\u0661"],
)
def test_refused(text: str) -> None:
    with pytest.raises(quantities.QuantityError):
        quantities.parse(text)


def test_counts() -> None:
    assert quantities.milli("0.1001") == 101
    assert quantities.milli(2) == 2000
    assert quantities.milli(0.25) == 250
    assert quantities.whole("1500m") == 2
    assert quantities.whole("1Gi") == 2**30
    assert quantities.equal("1", "1000m")
    assert quantities.format(Decimal(3 * 1024), quantities.BINARY) == "3Ki"
    with pytest.raises(quantities.QuantityError):
        quantities.parse(True)
