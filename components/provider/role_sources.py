"""The Ansible roles as data: what `defaults`, `vars` and `templates` of a role declare, read on the operator's machine.

A role says in `vars/main.yml` which files it places (`<role>_files`), which units it runs (`<role>_units`) and how its
health is asked (`<role>_health`). Everything here is read from files of the checkout and pure from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2] / "roles"
# What decides how a role acts but is neither a variable nor a rendered file. Templates are judged by what they render.
_ACTING: Final = ("tasks", "handlers", "files", "library", "action_plugins")


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its variables' defaults, its own declarations, and the digest of what acts."""

    name: str
    path: Path
    defaults: Mapping[str, Any]
    declared: Mapping[str, Any]
    digest: str

    @property
    def files(self) -> list[dict[str, Any]]:
        """`<role>_files` as declared."""
        return list(self.declared.get(f"{self.name}_files", []))

    @property
    def units(self) -> list[dict[str, Any]]:
        """`<role>_units` as declared."""
        return list(self.declared.get(f"{self.name}_units", []))

    @property
    def health(self) -> dict[str, Any] | None:
        """`<role>_health` as declared; its command is a template."""
        return self.declared.get(f"{self.name}_health")


def load(name: str, root: Path = ROOT) -> Role:
    """Read a role. Raises `FileNotFoundError` if there is none of that name."""
    path = root / name
    if not (path / "vars" / "main.yml").is_file():
        raise FileNotFoundError(f"there is no role {name} in {root}")
    return Role(
        name=name,
        path=path,
        defaults=_read(path / "defaults" / "main.yml"),
        declared=_read(path / "vars" / "main.yml"),
        digest=_digest(path),
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return yaml.load(path.read_text(), Loader=_LOADER) or {}  # noqa: S506 - both loaders below are the safe ones


# libyaml's safe loader where PyYAML was built with it: a dozen roles are read in each run.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _digest(path: Path) -> str:
    state = hashlib.sha256()
    for folder in _ACTING:
        for file in sorted((path / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                state.update(f"{file.relative_to(path)}\0".encode())
                state.update(file.read_bytes())
                state.update(b"\0")
    return state.hexdigest()[:16]
