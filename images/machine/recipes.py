"""The recipe of a machine image as a typed value."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from images import definitions

_HERE = Path(__file__).parent
DEFAULT = _HERE / "recipe.yaml"
SCHEMA = _HERE / "recipe.schema.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What goes into a machine image. The meaning of each field is in recipe.schema.json."""

    suite: str
    mirror: str
    components: list[str]
    variant: str
    packages: list[str]
    enabled_units: list[str] = field(default_factory=list)
    disabled_units: list[str] = field(default_factory=list)
    masked_units: list[str] = field(default_factory=list)
    removed_files: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def canonical(self) -> str:
        """Return the recipe as text that differs exactly when its meaning does: comments do not count."""
        return json.dumps(self.__dict__, sort_keys=True)


def load(path: Path = DEFAULT) -> Recipe:
    """Return the recipe in the YAML file `path`; raise SetupError naming the key that is wrong."""
    return Recipe(**definitions.load(path, SCHEMA))
