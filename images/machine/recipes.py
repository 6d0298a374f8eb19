"""The recipe of a machine image as a typed value."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from images import definitions

_HERE = Path(__file__).parent
DEFAULT = _HERE / "recipe.yaml"
VIRTUAL = _HERE / "virtual.yaml"
HYPERVISOR = _HERE / "hypervisor.yaml"
SCHEMA = _HERE / "recipe.schema.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What goes into a machine image. The meaning of each field is in recipe.schema.json."""

    suite: str
    components: list[str]
    variant: str
    packages: list[str]
    mirror: str = ""
    enabled_units: list[str] = field(default_factory=list)
    disabled_units: list[str] = field(default_factory=list)
    masked_units: list[str] = field(default_factory=list)
    removed_files: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def canonical(self) -> str:
        """Return the recipe as text that differs exactly when its meaning does.

        Comments do not count, nor does the mirror: all serve the same signed archive.
        """
        return json.dumps({name: value for name, value in self.__dict__.items() if name != "mirror"}, sort_keys=True)


def load(path: Path = DEFAULT) -> Recipe:
    """Return the recipe in the YAML file `path`; raise SetupError naming the key that is wrong."""
    return Recipe(**_content(path))


def _content(path: Path) -> dict[str, Any]:
    content = definitions.load(path, SCHEMA)
    if "extends" not in content:
        return content
    merged = _content(path.with_name(content.pop("extends")))
    for key, value in content.items():
        if isinstance(value, list):
            merged[key] = list(dict.fromkeys([*merged.get(key, []), *value]))
        elif isinstance(value, dict):
            merged[key] = {**merged.get(key, {}), **value}
        else:
            merged[key] = value
    return merged
