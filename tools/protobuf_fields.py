"""Generate the table of protobuf field numbers (`keelson/kube_apiserver/encodings/_gen/fields.json`), or check it.

The numbers are data of the Go modules k8s.io/api, k8s.io/apimachinery, k8s.io/apiextensions-apiserver and
k8s.io/kube-aggregator: messages and types come from their generated.proto; what protobuf does not say (the JSON name,
whether a struct is inlined, whether zero is a value or absence) comes from the tags of their Go structs.

    python tools/protobuf_fields.py          # writes
    python tools/protobuf_fields.py --check  # exit status 1 where what is written differs
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

VERSION = "v0.36.3"
# Module to the folders of versions that are served, and of the types that they use. Betas are there for what other
# servers have stored: kinds that have the same fields in v1.
MODULES = {
    "k8s.io/api": (
        "core/v1",
        "admissionregistration/v1",
        "admissionregistration/v1alpha1",
        "admissionregistration/v1beta1",
        "apps/v1",
        "authentication/v1",
        "authorization/v1",
        "autoscaling/v1",
        "autoscaling/v2",
        "batch/v1",
        "certificates/v1",
        "coordination/v1",
        "discovery/v1",
        "events/v1",
        "flowcontrol/v1",
        "flowcontrol/v1beta3",
        "networking/v1",
        "networking/v1beta1",
        "node/v1",
        "policy/v1",
        "rbac/v1",
        "resource/v1",
        "resource/v1beta2",
        "scheduling/v1",
        "storage/v1",
        "storage/v1beta1",
    ),
    "k8s.io/apimachinery": ("pkg/apis/meta/v1",),
    "k8s.io/apiextensions-apiserver": ("pkg/apis/apiextensions/v1",),
    "k8s.io/kube-aggregator": ("pkg/apis/apiregistration/v1",),
}
TARGET = Path(__file__).resolve().parent.parent / "src/keelson/kube_apiserver/encodings/_gen/fields.json"

_SCALARS = {"string": "s", "bool": "b", "bytes": "y", "double": "d", "int32": "i", "int64": "i", "uint32": "i"}
_FIELD = re.compile(r"^\s*(optional|repeated|required)?\s*(map<(\w+),\s*([\w.]+)>|[\w.]+)\s+(\w+)\s*=\s*(\d+);", re.M)
_TAG = re.compile(r'^\s+(.*?)\s*`json:"([^"]*)"[^`]*protobuf:"([^"]*)"', re.M)


def folder(module: str) -> Path:
    """Where the Go module cache has the module; CalledProcessError where Go can't download it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "go.mod").write_text("module fields\n", encoding="utf-8")
        answer = subprocess.run(
            ["go", "mod", "download", "-json", f"{module}@{VERSION}"], cwd=place, check=True, capture_output=True
        )
    return Path(json.loads(answer.stdout)["Dir"])


def blocks(text: str, opening: str) -> Iterator[tuple[str, str]]:
    """(name, body) of every block that begins with `opening` NAME and ends with a brace in the first column."""
    for match in re.finditer(opening + r"\s*\{\n(.*?)^\}", text, re.M | re.S):
        yield match[1], match[2]


class GoField(NamedTuple):
    """What a struct's tags say of a field; `name` is "" where the struct is inlined."""

    name: str
    pointer: bool = False
    omitempty: bool = True
    omitzero: bool = False

    def flags(self, *, message: bool, many: bool, type_: str) -> str:
        """z where zero is a value, n where absence is null: what encoding/json makes of Go's zero."""
        if self.pointer:
            return "z"
        if type_.endswith((".Time", ".MicroTime", ".RawExtension")) and not many:
            return "" if self.omitzero else "n"
        if many:
            return "" if self.omitempty else "n"
        if message:
            # encoding/json has no empty structs: `omitempty` leaves none out.
            return "" if self.omitzero else "z"
        return "" if self.omitempty else "z"


def go_fields(source: Path) -> dict[str, dict[int, GoField]]:
    """Struct to field number to what its tags say."""
    found: dict[str, dict[int, GoField]] = {}
    for path in sorted(source.glob("*.go")):
        if path.name.endswith("_test.go") or path.name.startswith(("zz_", "generated")):
            continue
        for name, body in blocks(path.read_text(encoding="utf-8"), r"^type (\w+) struct"):
            fields = found.setdefault(name, {})
            for declared, json_tag, protobuf_tag in _TAG.findall(body):
                if protobuf_tag == "-":
                    continue
                number = int(protobuf_tag.split(",")[1])
                key, *flags = json_tag.split(",")
                inlined = "inline" in flags or (not key and " " not in declared.strip())
                pointer = declared.split()[-1].startswith("*")
                fields[number] = GoField("" if inlined else key, pointer, "omitempty" in flags, "omitzero" in flags)
    return found


def table() -> dict[str, Any]:
    """Message to field number to [JSON name, type, flags]; see `encodings/protobuf.py` for what they mean."""
    messages: dict[str, Any] = {}
    for module, versions in MODULES.items():
        root = folder(module)
        for version in versions:
            text = (root / version / "generated.proto").read_text(encoding="utf-8")
            text = re.sub(r"//[^\n]*", "", text)
            package = re.search(r"^package ([\w.]+);", text, re.M)[1]  # type: ignore[index]
            tags = go_fields(root / version)
            for message, body in blocks(text, r"^message (\w+)"):
                fields: dict[str, list[str]] = {}
                for label, type_, key, value, name, number in _FIELD.findall(body):
                    field = tags.get(message, {}).get(int(number), GoField(name))
                    flags = "r" if label == "repeated" else ""
                    if key:
                        flags, type_ = "m", value
                    kind = _SCALARS.get(type_) or (type_.lstrip(".") if "." in type_ else f"{package}.{type_}")
                    flags += field.flags(message=len(kind) > 1, many=bool(flags), type_=kind)
                    fields[number] = [field.name, kind, flags]
                messages[f"{package}.{message}"] = fields
    return messages


def main() -> None:
    """Write, or compare with what is written."""
    content = json.dumps(table(), separators=(",", ":"), sort_keys=True).encode() + b"\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_bytes(content)
    elif not TARGET.exists() or TARGET.read_bytes() != content:
        sys.exit(f"{TARGET}: differs from its sources; run python tools/protobuf_fields.py")


if __name__ == "__main__":
    main()
