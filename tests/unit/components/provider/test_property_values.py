"""What crosses the wire comes back as it was, and what was secret is secret again."""

import pytest

from components.provider import property_values
from components.provider.property_values import SECRET, SIGNATURE, UNKNOWN, decode, differences, encode, render_path

PLAIN = {
    "text": "a",
    "number": 3,
    "fraction": 0.5,
    "yes": True,
    "nothing": None,
    "list": [1, {"deep": ["x"]}],
    "empty map": {},
    "empty list": [],
}


def test_plain_values_survive() -> None:
    decoded = decode(encode(PLAIN))
    assert decoded.values == PLAIN
    assert decoded.secrets == frozenset()
    assert isinstance(decoded.values["number"], int)


def test_secrets_are_unwrapped_and_remembered() -> None:
    secrets = {("key",), ("variables", "etcd_key"), ("items", 1)}
    values = {"key": "k", "variables": {"etcd_key": "e", "open": "o"}, "items": ["a", "b"]}
    wire = encode(values, secrets)
    assert wire.fields["key"].struct_value.fields[SIGNATURE].string_value == SECRET
    assert "string_value" not in str(wire.fields["variables"].struct_value.fields["open"].struct_value)
    decoded = decode(wire)
    assert decoded.values == values
    assert decoded.secrets == secrets


def test_what_lies_in_a_secret_is_wrapped_once() -> None:
    wire = encode({"all": {"one": "x"}}, {("all",), ("all", "one")})
    inner = wire.fields["all"].struct_value.fields["value"].struct_value
    assert inner.fields["one"].string_value == "x"


def test_unknowns_are_seen_at_any_depth() -> None:
    decoded = decode(encode({"a": [{"b": UNKNOWN}]}))
    assert decoded.values["a"][0]["b"] is UNKNOWN
    assert decoded.has_unknown()
    assert not decode(encode(PLAIN)).has_unknown()


def test_output_values_are_taken() -> None:
    wire = encode({"known": {SIGNATURE: property_values.OUTPUT, "value": 1, "secret": True}})
    wire.fields["pending"].struct_value.fields[SIGNATURE].string_value = property_values.OUTPUT
    decoded = decode(wire)
    assert decoded.values == {"known": 1, "pending": UNKNOWN}
    assert decoded.secrets == {("known",)}


def test_a_foreign_signature_is_refused() -> None:
    with pytest.raises(ValueError, match="asset"):
        decode(encode({"asset": {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17"}}))


def test_differences_name_leaves() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "list": [1, 2], "gone": "x", "null": None}
    new = {"a": 1, "b": {"c": 2, "d": 2}, "list": [1, 3], "new": "y"}
    assert list(differences(old, new)) == [
        (("b", "c"), "update"),
        (("gone",), "delete"),
        (("list", 1), "update"),
        (("new",), "add"),
    ]


def test_an_unknown_is_always_a_difference() -> None:
    assert list(differences({"a": UNKNOWN}, {"a": UNKNOWN})) == [(("a",), "update")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("host", "address"), "host.address"),
        (("roles", 0), "roles[0]"),
        (("placed", "etcd", "files", "/etc/etcd/etcd.env"), 'placed.etcd.files["/etc/etcd/etcd.env"]'),
        (("a", 'with "quotes"'), 'a["with \\"quotes\\""]'),
    ],
)
def test_paths_are_written_as_the_engine_reads_them(path: property_values.Path, text: str) -> None:
    assert render_path(path) == text
