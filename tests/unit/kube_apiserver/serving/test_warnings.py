"""Warnings as headers: quoted, bounded, and no way to say more than a warning."""

from __future__ import annotations

from keelson.kube_apiserver.serving import warnings


def test_a_text_is_quoted_and_said_once() -> None:
    assert warnings.headers(["mind the gap", "", 'a "b" \\c', "mind the gap"]) == [
        '299 - "mind the gap"',
        '299 - "a \\"b\\" \\\\c"',
    ]


def test_no_text_begins_another_header() -> None:
    (value,) = warnings.headers(["first\r\nSet-Cookie: a=b\x00\x85"])
    assert value == '299 - "first  Set-Cookie: a=b  "'


def test_text_beyond_ascii_is_utf_8_on_the_wire() -> None:
    (value,) = warnings.headers(["naïve ☃"])
    assert value.encode("latin-1") == '299 - "naïve ☃"'.encode()


def test_more_than_fits_is_cut() -> None:
    whole = ["a" * 2000, "b" * 2000]
    assert [len(value) for value in warnings.headers(whole)] == [2008, 2008]
    cut = warnings.headers([*whole, "c" * 2000, *(f"{number:03}" * 100 for number in range(100))])
    assert all(len(value) == 256 + 8 for value in cut)
    assert len(cut) == 16
