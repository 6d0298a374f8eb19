"""CBOR against RFC 8949's own examples, and against what upstream's server sends and refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from keelson.api import cbor

VALUES: some.SearchStrategy[Any] = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(1 << 63), (1 << 63) - 1)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    assert cbor.loads(cbor.dumps(value)) == value


@given(some.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        cbor.loads(data)
    except cbor.CborError:
        return


@pytest.mark.parametrize(
    ("data", "value"),
    [
        # RFC 8949, appendix A.
        ("00", 0),
        ("1903e8", 1000),
        ("1b000000e8d4a51000", 1000000000000),
        ("3903e7", -1000),
        ("3b7fffffffffffffff", -(1 << 63)),
        ("f93e00", 1.5),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("f4", False),
        ("f6", None),
        ("62c3bc", "ü"),
        ("83010203", [1, 2, 3]),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("7f657374726561646d696e67ff", "streaming"),
        ("5f42010243030405ff", "\x01\x02\x03\x04\x05"),
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("c11a514b67b0", "2013-03-21T20:04:00Z"),
        ("c1fb41d452d9ec200000", "2013-03-21T20:04:00.5Z"),
        # Byte strings are text, or what is to be shown of them; keys too.
        ("a1416101", {"a": 1}),
        ("d6430001ff", "AAH/"),
        ("d5430001ff", "AAH_"),
        ("d7430001ff", "0001ff"),
        # Tags stand for what they hold; upstream's prefix is one of them.
        ("d9d9f7a0", {}),
        ("d818f5", True),
    ],
)
def test_values(data: str, value: Any) -> None:
    found = cbor.loads(bytes.fromhex(data))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "18",
        "1b8000000000000000",
        "3b8000000000000000",
        "a2616101616102",
        "a2416101616102",
        "a10102",
        "f97e00",
        "f97c00",
        "fbfff0000000000000",
        "c249010000000000000000",
        "f7",
        "f0",
        "f818",
        "62c328",
        "42c328",
        "9fff00",
        "9f",
        "5f6161ff",
        "5f5f4101ffff",
        "1c",
        "c001",
        "c16161",
        "c11b7fffffffffffffff",
        "9bffffffffffffffff",
        "bbffffffffffffffff6161",
        "5bffffffffffffffff",
        "ff",
    ],
)
def test_what_has_no_one_meaning_is_refused(data: str) -> None:
    with pytest.raises(cbor.CborError):
        cbor.loads(bytes.fromhex(data))


@pytest.mark.parametrize("data", [b"\x81" * 100_000, b"\x9f" * 100_000, b"\xa1aa" * 100_000, b"\xd8\x18" * 100_000])
def test_depth_has_an_end(data: bytes) -> None:
    with pytest.raises(cbor.CborError, match="depth"):
        cbor.loads(data)


def test_items_have_an_end() -> None:
    with pytest.raises(cbor.CborError, match="number of items"):
        cbor.loads(b"\x9f" + bytes(3 << 20))


def test_floats_are_as_short_as_they_can_be() -> None:
    assert cbor.encode(1.5) == bytes.fromhex("f93e00")
    assert cbor.encode(100000.0) == bytes.fromhex("fa47c35000")
    assert cbor.encode(1.1) == bytes.fromhex("fb3ff199999999999a")


def test_strings_are_byte_strings_as_upstream_writes_them() -> None:
    assert cbor.dumps({"kind": "x"}) == bytes.fromhex("d9d9f7a1446b696e644178")
