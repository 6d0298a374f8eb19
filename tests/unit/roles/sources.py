"""The roles as files, and values that fill each of their variables."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3] / "roles"
ROLES = sorted(path.parent.parent.name for path in ROOT.glob("*/vars/main.yml"))


def read(role: str, part: str) -> dict[str, Any]:
    """A YAML file of a role, e.g. `defaults/main.yml`; empty where the role has none."""
    path = ROOT / role / part
    return dict(yaml.safe_load(path.read_text())) if path.exists() else {}


def options(role: str) -> dict[str, dict[str, Any]]:
    """The role's variables by name, as its argument_specs declare them."""
    return dict(read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"])


def sample(spec: dict[str, Any], name: str) -> Any:
    """A value of the kind that a variable takes, with characters that careless templates break."""
    if spec.get("choices"):
        return spec["choices"][0]
    match spec["type"]:
        case "int":
            return 7
        case "bool":
            return True
        case "list":
            if spec.get("elements") == "dict":
                return [{key: sample(each, key) for key, each in spec["options"].items()} for _ in range(2)]
            return ["10.0.0.1", "10.0.0.2"]
        case "dict":
            return {"alpha": "one%two", "beta": True}
        case _:
            return f"{name}: 100% \"quoted\" $HOME <tag> 'x'\nand a second line"


def samples(role: str) -> dict[str, Any]:
    """A value for each variable of a role."""
    return {name: sample(spec, name) for name, spec in options(role).items()}


def module(path: str) -> ModuleType:
    """A Python file under roles/, which is no package."""
    place = ROOT / path
    spec = importlib.util.spec_from_file_location(f"roles_{place.stem}_{place.parent.name}", place)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
