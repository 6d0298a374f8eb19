"""What all fuzzing shares: a request, values that decoders stumbled over, and how something valid is spoiled.

Each strategy starts from what is valid and spoils some of it, because what is wrong at first sight is refused at the
first door and tests nothing behind it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as some


class Case(NamedTuple):
    """One request; `path` begins with a slash, and is what stands in the request line."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = ""


DRY = "dryRun=All"

# What decoders have stumbled over before.
NUMBERS = some.sampled_from(
    [0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, 1.5, -0.0, 1e308, 1e-320]
)
TEXTS = some.one_of(
    some.sampled_from(
        [
            "(" * 3000,
            "(a{999}){999}",
            "a" * 100_000,
            "",
            "a",
            "..",
            ".",
            "/",
            "%2f",
            "a" * 300,
            "\0",
            "\n",
            "1Ki",
            "1e99999",
            "-1",
            "25%",
            "\U0001f600",
            "{{}}",
            "~1",
            "2026-01-01T00:00:00Z",
            "9999-99-99T99:99:99Z",
            "(a+)+$",
            "[",
            "\\",
            "10.0.0.0/33",
            "::",
            "0x",
            "null",
            "true",
            "*/0 * * * *",
            "self",
            "a.b",
            "99999999999999999999",
            "-",
            "=",
            "!",
            "$patch",
            "\u2028",
            "metadata.name",
        ]
    ),
    some.text(max_size=12),
)
_SCALARS = some.one_of(some.none(), some.booleans(), NUMBERS, TEXTS)
VALUES = some.recursive(
    _SCALARS,
    lambda inner: some.one_of(some.lists(inner, max_size=3), some.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            found += places(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += places(child, (*path, index))
    return found


@some.composite
def spoiled(draw: some.DrawFn, seed: Any) -> Any:
    """A document with some values replaced, removed, renamed, added or repeated."""
    document = json.loads(json.dumps(seed))
    for _ in range(draw(some.integers(1, 3))):
        found = places(document)
        if not found:
            break
        path = draw(some.sampled_from(found))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        match draw(some.sampled_from(["replace", "remove", "rename", "add", "repeat"])):
            case "replace":
                holder[key] = draw(VALUES)
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(TEXTS)] = holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder[draw(TEXTS)] = draw(VALUES)
            case "repeat" if isinstance(holder, list):
                holder.append(holder[key])
            case _:
                holder[key] = [holder[key]]
    return document


@some.composite
def corrupted(draw: some.DrawFn, body: bytes) -> bytes:
    """Bytes with a few of them changed, cut out or put in."""
    data = bytearray(body)
    for _ in range(draw(some.integers(0, 4))):
        at = draw(some.integers(0, max(0, len(data) - 1)))
        match draw(some.sampled_from(["set", "cut", "put", "end"])):
            case "set" if data:
                data[at] = draw(some.integers(0, 255))
            case "cut":
                del data[at : at + draw(some.integers(1, 20))]
            case "put":
                data[at:at] = draw(some.binary(min_size=1, max_size=8))
            case _:
                del data[at:]
    return bytes(data)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def quoted(text: str) -> str:
    """Text for a query string, byte for byte."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
