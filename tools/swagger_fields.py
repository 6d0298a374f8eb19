"""Generate the table of fields of Swagger's protobuf form (`keelson/kube_apiserver/encodings/_gen/swagger.json`).

The numbers are data of the Go module github.com/google/gnostic-models, whose message openapi.v2.Document client-go
reads.

    python tools/swagger_fields.py          # writes
    python tools/swagger_fields.py --check  # exit status 1 where what is written differs
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "github.com/google/gnostic-models@v0.7.0"
SOURCE = "openapiv2/OpenAPIv2.proto"
TARGET = Path(__file__).resolve().parent.parent / "src/keelson/kube_apiserver/encodings/_gen/swagger.json"

_SCALARS = {"string": "s", "bool": "b", "double": "d", "int64": "i"}
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^\s*(repeated )?([\w.]+) (\w+) = (\d+);", re.M)
# What holds the members of a JSON object whose names are free.
_FREE = frozenset({"additional_properties", "path", "response_code"})


def folder() -> Path:
    """Where the Go module cache has the module; CalledProcessError where Go can't download it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "go.mod").write_text("module fields\n", encoding="utf-8")
        answer = subprocess.run(["go", "mod", "download", "-json", MODULE], cwd=place, check=True, capture_output=True)
    return Path(json.loads(answer.stdout)["Dir"])


def json_name(name: str) -> str:
    """How Swagger spells a field: `_ref` is `$ref`, `max_length` is `maxLength`."""
    if name.startswith("_"):
        return "$" + name[1:]
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def table() -> dict[str, dict[str, tuple[int, str, str]]]:
    """Message to JSON name to (number, type, flags); see `encodings/swagger.py` for what they mean."""
    text = (folder() / SOURCE).read_text(encoding="utf-8")
    messages: dict[str, dict[str, tuple[int, str, str]]] = {}
    for message, body in _MESSAGE.findall(re.sub(r"//[^\n]*", "", text)):
        fields = messages[message] = {}
        for repeated, type_, name, number in _FIELD.findall(body):
            named = repeated and type_.startswith("Named")
            flag = "x" if named and name == "vendor_extension" else "m" if named and name in _FREE else ""
            fields[json_name(name)] = (int(number), _SCALARS.get(type_, type_), flag or ("r" if repeated else ""))
    return messages


def main() -> None:
    """Write, or compare with what is written."""
    content = json.dumps(table(), separators=(",", ":"), sort_keys=True).encode() + b"\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_bytes(content)
    elif not TARGET.exists() or TARGET.read_bytes() != content:
        sys.exit(f"{TARGET}: differs from its source; run python tools/swagger_fields.py")


if __name__ == "__main__":
    main()
