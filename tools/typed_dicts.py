"""Writes `src/keelson/api/_gen/kinds.py`: TypedDicts of the kinds that daemons read most, made from the schemas.

Objects stay plain JSON values; the types only let mypy see a misspelt field. Run it after the definitions change:
`python tools/typed_dicts.py`; a unit test fails while the file is not what this writes.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keelson.api.definitions import definitions

ROOTS = (
    "io.k8s.api.apps.v1.DaemonSet",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.batch.v1.Job",
    "io.k8s.api.certificates.v1.CertificateSigningRequest",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.core.v1.Namespace",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.core.v1.PersistentVolume",
    "io.k8s.api.core.v1.PersistentVolumeClaim",
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.ServiceAccount",
    "io.k8s.api.discovery.v1.EndpointSlice",
    "io.k8s.api.storage.v1.StorageClass",
)
TARGET = Path(__file__).parent.parent / "src" / "keelson" / "api" / "_gen" / "kinds.py"

_HEADER = '''"""Types of the kinds that daemons read most. Written by tools/typed_dicts.py; do not edit."""

from __future__ import annotations

from typing import Any, TypedDict
'''
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "": "Any"}
_SPECIAL = {"IntOrString": "int | str", "Quantity": "str", "Time": "str", "MicroTime": "str"}


class _Writer:
    """Follows the roots through the definitions and names each TypedDict once."""

    def __init__(self) -> None:
        self._source = definitions()
        self._names: dict[str, str] = {}
        self._bodies: dict[str, str] = {}

    def _name(self, definition: str) -> str:
        short = definition.rpartition(".")[2]
        if short in self._names and self._names[short] != definition:
            group = definition.split(".")[-3]
            short = f"{group.capitalize()}{short}"
        self._names[short] = definition
        return short

    def reference(self, definition: str) -> str:
        """The type that a reference to a definition has."""
        short = definition.rpartition(".")[2]
        if short in _SPECIAL:
            return _SPECIAL[short]
        node = self._source[definition]
        if not node.get("properties"):
            return "dict[str, Any]" if node.get("type") == "object" else "Any"
        name = self._name(definition)
        if name not in self._bodies:
            self._bodies[name] = ""
            self._bodies[name] = self._body(name, node)
        return name

    def _type(self, node: Mapping[str, Any]) -> str:
        if "$ref" in node:
            return self.reference(node["$ref"])
        match node.get("type", ""):
            case "array":
                return f"list[{self._type(node['items'])}]"
            case "object":
                extra = node.get("additionalProperties")
                return f"dict[str, {self._type(extra) if extra else 'Any'}]"
        return _SCALARS[node.get("type", "")]

    def _body(self, name: str, node: Mapping[str, Any]) -> str:
        fields = {key: self._type(child) for key, child in sorted(node["properties"].items())}
        if all(key.isidentifier() and not keyword.iskeyword(key) for key in fields):
            lines = "".join(f"    {key}: {kind}\n" for key, kind in fields.items())
            return f"class {name}(TypedDict, total=False):\n{lines}"
        # The functional form takes any key; its types are evaluated at once, so that they are quoted.
        lines = "".join(f'        "{key}": "{kind}",\n' for key, kind in fields.items())
        return f'{name} = TypedDict(\n    "{name}",\n    {{\n{lines}    }},\n    total=False,\n)\n'

    def text(self) -> str:
        """The whole module, in name order."""
        for root in ROOTS:
            self.reference(root)
        return _HEADER + "".join(f"\n\n{self._bodies[name]}" for name in sorted(self._bodies))


def text() -> str:
    """What the generated module must hold."""
    return _Writer().text()


if __name__ == "__main__":
    TARGET.write_text(text())
