"""What the roles declare holds together: variables, files, units."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import jinja2.meta
import pytest
import yaml

from tests.unit.roles import sources
from tests.unit.roles.sources import ROLES, ROOT

OWN = ("files", "units", "health")


@pytest.mark.parametrize("role", ROLES)
def test_variables_bear_the_roles_name(role: str) -> None:
    """The longest role name wins, as it does where the toolkit hands variables out."""
    declared = {*sources.options(role), *sources.read(role, "defaults/main.yml"), *sources.read(role, "vars/main.yml")}
    for name in declared:
        assert max((each for each in ROLES if name.startswith(f"{each}_")), key=len) == role, name


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_declared(role: str) -> None:
    declared = {name: spec["default"] for name, spec in sources.options(role).items() if "default" in spec}
    assert sources.read(role, "defaults/main.yml") == declared
    for name, spec in sources.options(role).items():
        assert ("default" in spec) != spec.get("required", False), name


@pytest.mark.parametrize("role", ROLES)
def test_only_declared_variables_are_used(role: str) -> None:
    environment = jinja2.Environment()
    used: set[str] = set()
    for path in (ROOT / role / "templates").iterdir():
        used |= jinja2.meta.find_undeclared_variables(environment.parse(path.read_text()))
    for entry in sources.read(role, "vars/main.yml")[f"{role}_files"]:
        used |= {entry[key] for key in ("content_var", "when_set") if key in entry}
    health = sources.read(role, "vars/main.yml")[f"{role}_health"]["command"]
    used |= jinja2.meta.find_undeclared_variables(environment.parse(health))
    tasks = (ROOT / role / "tasks" / "main.yml").read_text()
    used |= set(re.findall(rf"\b{role}_\w+", tasks)) - {f"{role}_{own}" for own in OWN} - {f"{role}_placed"}
    used -= {"dict"}
    assert used == set(sources.options(role))


@pytest.mark.parametrize("role", ROLES)
def test_templates_are_those_declared(role: str) -> None:
    declared = {e["src"] for e in sources.read(role, "vars/main.yml")[f"{role}_files"] if "src" in e}
    assert {path.name for path in (ROOT / role / "templates").iterdir()} == declared


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_closed(role: str) -> None:
    """What an argument_spec hides is placed as a secret, and a secret is open to its owner and one group at most."""
    hidden = {name for name, spec in sources.options(role).items() if spec.get("no_log")}
    for entry in sources.read(role, "vars/main.yml")[f"{role}_files"]:
        text = (ROOT / role / "templates" / entry["src"]).read_text() if "src" in entry else entry["content_var"]
        tells = any(re.search(rf"\b{name}\b(?! %}})", text) for name in hidden if entry.get("content_var") != name)
        assert entry.get("secret", False) == (entry.get("content_var") in hidden or (tells and "service" not in text))
        if entry.get("secret"):
            assert not int(entry["mode"], 8) & 0o037, entry["dest"]


@pytest.mark.parametrize("role", ROLES)
def test_units_of_files_are_declared(role: str) -> None:
    declared = sources.read(role, "vars/main.yml")
    units = {unit["name"] for unit in declared[f"{role}_units"]}
    assert {entry["unit"] for entry in declared[f"{role}_files"] if "unit" in entry} <= units


def test_no_path_has_two_roles() -> None:
    paths: list[str] = [e["dest"] for role in ROLES for e in sources.read(role, "vars/main.yml")[f"{role}_files"]]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("role", ROLES)
def test_few_tasks(role: str) -> None:
    """Each costs a fifth of a second a host."""
    tasks: list[Any] = yaml.safe_load((ROOT / role / "tasks" / "main.yml").read_text())
    assert len(tasks) <= 4
