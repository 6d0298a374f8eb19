"""Generate what OpenAPI documents say beyond the definitions (`keelson/api/_gen/openapi_details.json`), or check it.

The definitions that ours are made of carry neither enumerations nor defaults. Defaults stand in the documents that the
Go module k8s.io/kubernetes publishes; enumerations only in the Go source that upstream's server makes its documents of.
Values only: the prose that it has for some values of enumerations stays there.

    python tools/openapi_details.py          # writes
    python tools/openapi_details.py --check  # exit status 1 where what is written differs
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keelson.api import definitions

MODULE = "k8s.io/kubernetes@v1.36.3"
DOCUMENTS = "api/openapi-spec/v3"
SOURCE = "pkg/generated/openapi/zz_generated.openapi.go"
TARGET = Path(__file__).resolve().parent.parent / "src/keelson/api/_gen/openapi_details.json"

_FUNCTION = re.compile(r"^func schema_(\w+)\(.*?\{\n(.*?)^\}", re.M | re.S)
_ENUM = re.compile(r"^Enum:\s+\[\]interface\{\}\{(.*)\},$")
_NESTED = {"Items": "items", "AdditionalProperties": "additionalProperties"}

# Where in a definition, what is said there, and the value; where is a property, and items or the like below it.
Detail = tuple[tuple[str, ...], str, Any]


def folder() -> Path:
    """Where the Go module cache has the module; CalledProcessError where Go can't download it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "go.mod").write_text("module details\n", encoding="utf-8")
        answer = subprocess.run(["go", "mod", "download", "-json", MODULE], cwd=place, check=True, capture_output=True)
    return Path(json.loads(answer.stdout)["Dir"])


def defaults(node: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[Detail]:
    """Those of a definition of a published document."""
    if "default" in node:
        yield place, "default", node["default"]
    for key, child in node.get("properties", {}).items():
        yield from defaults(child, (*place, key))
    for key in _NESTED.values():
        if key in node:
            yield from defaults(node[key], (*place, key))


def function(name: str) -> str:
    """What the Go source calls a definition: by the last four parts of its package, and its type."""
    package, _, type_ = name.replace("io.k8s.api.", "io.k8sio.api.").rpartition(".")
    return "_".join([*package.replace("-", "").split(".")[-4:], type_])


def enumerations(body: str) -> Iterator[Detail]:
    """Those of a function's body."""
    # The source is gofmt's: a line opens at most one level, at its end, and closes at most one, at its start.
    levels: list[str] = []
    for line in map(str.strip, body.splitlines()):
        if line.startswith("}"):
            levels.pop()
        found = _ENUM.match(line)
        if found is not None:
            yield _place(levels), "enum", json.loads(f"[{found[1]}]")
        elif line.endswith("{"):
            levels.append(line.partition(":")[0])


def _place(levels: list[str]) -> tuple[str, ...]:
    place: list[str] = []
    for outer, level in zip(["", *levels], levels, strict=False):
        if outer == "Properties":
            place.append(json.loads(level))
        elif level in _NESTED:
            place.append(_NESTED[level])
    return tuple(place)


def table() -> dict[str, dict[str, Any]]:
    """Definition to property to what is said of it: "default", "enum", and the same of its "items" and the like."""
    module = folder()
    published: dict[str, dict[str, Any]] = {}
    for path in sorted((module / DOCUMENTS).glob("*.json")):
        published |= json.loads(path.read_bytes())["components"].get("schemas", {})
    bodies = dict(_FUNCTION.findall((module / SOURCE).read_text(encoding="utf-8")))
    found: dict[str, dict[str, Any]] = {}
    for name in definitions.definitions():
        for place, field, value in (*defaults(published[name]), *enumerations(bodies.get(function(name), ""))):
            node = found.setdefault(name, {})
            for step in place:
                node = node.setdefault(step, {})
            node[field] = value
    return found


def main() -> None:
    """Write, or compare with what is written."""
    lines = [f"{json.dumps(name)}:{json.dumps(said, sort_keys=True)}" for name, said in sorted(table().items())]
    content = ("{" + ",\n".join(lines) + "}\n").encode()
    if "--check" not in sys.argv[1:]:
        TARGET.write_bytes(content)
    elif not TARGET.exists() or TARGET.read_bytes() != content:
        sys.exit(f"{TARGET}: differs from its source; run python tools/openapi_details.py")


if __name__ == "__main__":
    main()
