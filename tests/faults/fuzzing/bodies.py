"""Writes in each encoding that the server decodes."""

from __future__ import annotations

import yaml
from hypothesis import reject
from hypothesis import strategies as some

from keelson.api import cbor
from tests.faults.fuzzing.requests import DRY, Case, corrupted, dumped, spoiled
from tests.faults.fuzzing.seeds import SEEDS


@some.composite
def json_bodies(draw: some.DrawFn) -> Case:
    """Creations in JSON."""
    path, seed = draw(some.sampled_from(SEEDS))
    body = dumped(draw(spoiled(seed)))
    if draw(some.integers(0, 3)) == 0:
        body = draw(corrupted(body))
    strict = draw(some.sampled_from(["Strict", "Warn", "Ignore"]))
    return Case("POST", f"{path}?{DRY}&fieldValidation={strict}", body, "application/json")


_YAML_PIECES = some.sampled_from(
    [
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "? " * 5000,
        "a: ",
        "- ",
        "&x ",
        "*x",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\n",
        "  ",
        "!!int ",
        "!!float ",
        "!!binary ",
        "!!python/x ",
        "|",
        ">",
        "'",
        '"',
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "0x",
        "0o",
        "09",
        "1_000",
        "1:30",
        ".inf",
        ".nan",
        "~",
        "\t",
        "9" * 5000,
        "1e999",
        "\\ud800",
        '"\\ud800"',
        "kind: ConfigMap\n",
        "metadata:\n  name: a\n",
        "data:\n  k: v\n",
        "#",
    ]
)


@some.composite
def yaml_bodies(draw: some.DrawFn) -> Case:
    """Creations in YAML: spoiled documents, and pieces of the language in any order."""
    path, seed = draw(some.sampled_from(SEEDS))
    if draw(some.booleans()):
        document = draw(spoiled(seed))
        body = draw(corrupted(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass")))
    else:
        body = "".join(draw(some.lists(_YAML_PIECES, max_size=12))).encode()
    return Case("POST", f"{path}?{DRY}", body, "application/yaml")


@some.composite
def protobuf_bodies(draw: some.DrawFn, messages: list[tuple[str, bytes]]) -> Case:
    """Updates in protobuf; `messages` are (path, a valid body)."""
    path, body = draw(some.sampled_from(messages))
    damaged = draw(corrupted(body))
    if draw(some.booleans()):
        damaged = b"k8s\0" + damaged.removeprefix(b"k8s\0")
    return Case("PUT", f"{path}?{DRY}", damaged, "application/vnd.kubernetes.protobuf")


@some.composite
def cbor_bodies(draw: some.DrawFn) -> Case:
    """Creations and applied configurations in CBOR."""
    path, seed = draw(some.sampled_from(SEEDS))
    applied = draw(some.booleans())
    document = draw(spoiled({**seed, "metadata": {**seed["metadata"], "name": "other"}} if applied else seed))
    try:
        body = draw(corrupted(cbor.dumps(document)))
    except (TypeError, UnicodeEncodeError):
        # CBOR has no such numbers, and no halves of characters.
        reject()
    if applied:
        return Case("PATCH", f"{path}/other?fieldManager=fuzz&{DRY}", body, "application/apply-patch+cbor")
    return Case("POST", f"{path}?{DRY}", body, "application/cbor")
