"""What a role wants of a host, computed on the operator's machine: the digest of each file, the state of each unit.

Templates are rendered by plain jinja2 with Ansible's settings for whitespace; every value is a role variable, without
lookups or facts, so both renderings are the same (the roles' tests hold them against each other). Pure but for reading
the templates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jinja2

from components.provider.property_values import UNKNOWN
from components.provider.role_sources import Role

ANSIBLE_WHITESPACE: Final[dict[str, Any]] = {
    "trim_blocks": True,
    "lstrip_blocks": False,
    "keep_trailing_newline": True,
    "newline_sequence": "\n",
}


_CURRENT_RELEASE: Final = "/opt/keelson/current/"


class RenderError(Exception):
    """A role's template cannot be rendered from the variables given; says which and why."""


class _NotKnownYet(jinja2.StrictUndefined):
    """Stands for a value that a preview cannot know: whatever is made from it is not known either."""

    class Error(jinja2.UndefinedError):
        """Raised by any use of the value."""

    def __init__(self) -> None:
        super().__init__(exc=_NotKnownYet.Error)


@dataclass(frozen=True, slots=True)
class Health:
    """How to ask whether a role works: a command of the host that succeeds, within so many seconds."""

    command: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Desired:
    """A role's wishes: `files` by path, `units` by name, and which unit a file's change restarts or reloads.

    A file is its fingerprint, or `UNKNOWN` in a preview; a unit is "enabled active" or the like. `uses_release` says
    that its units run what /opt/keelson/current leads to, so that they restart when that changes.
    """

    files: dict[str, Any]
    units: dict[str, str]
    restarts: dict[str, str]
    uses_release: bool
    health: Health | None


def fingerprint(sha256: str, mode: str, owner: str, group: str) -> str:
    """What a file is, as one word for diffs: the same whether it was rendered or read from a host."""
    return f"sha256:{sha256} {int(mode, 8):04o} {owner}:{group}"


def desired(role: Role, variables: Mapping[str, Any]) -> Desired:
    """Render what `role` wants with these variables. Raises `RenderError`."""
    known = {name: _without_unknown(value) for name, value in {**role.defaults, **variables}.items()}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(role.path / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, not web pages
        **ANSIBLE_WHITESPACE,
    )
    files: dict[str, Any] = {}
    uses_release = False
    restarts: dict[str, str] = {}
    for entry in role.files:
        condition = entry.get("when_set")
        if condition is not None and not known.get(condition):
            continue
        path = str(entry["dest"])
        try:
            content = _content(role, environment, entry, known)
        except _NotKnownYet.Error:
            files[path] = UNKNOWN
        else:
            uses_release = uses_release or _CURRENT_RELEASE in content
            files[path] = fingerprint(
                hashlib.sha256(content.encode()).hexdigest(),
                str(entry["mode"]),
                entry.get("owner", "root"),
                entry.get("group", "root"),
            )
        if "unit" in entry:
            restarts[path] = entry["unit"]
    units = {
        unit["name"]: unit_state(enabled=unit.get("enabled", True), started=unit.get("state", "started") == "started")
        for unit in role.units
    }
    return Desired(
        files=files,
        units=units,
        restarts=restarts,
        uses_release=uses_release,
        health=_health(role, environment, known),
    )


def _health(role: Role, environment: jinja2.Environment, known: Mapping[str, Any]) -> Health | None:
    declared = role.health
    if declared is None:
        return None
    try:
        command = _render(role, environment.from_string(declared["command"]), "health", known).strip()
    except _NotKnownYet.Error:
        # Only a preview has such values, and it asks nobody for their health.
        return None
    return Health(command=command, timeout_seconds=float(declared["timeout_seconds"]))


def _without_unknown(value: Any) -> Any:
    if value is UNKNOWN:
        return _NotKnownYet()
    if isinstance(value, Mapping):
        return {name: _without_unknown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_unknown(item) for item in value]
    return value


def unit_state(*, enabled: bool, started: bool) -> str:
    """A unit's state as one word for diffs."""
    return f"{'enabled' if enabled else 'disabled'} {'active' if started else 'inactive'}"


def _content(role: Role, environment: jinja2.Environment, entry: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "content_var" in entry:
        name = entry["content_var"]
        if name not in known:
            raise RenderError(f"role {role.name}: variable {name} is not given")
        text = str(known[name])
        # As the roles' action plugin does: a certificate is a text file whether or not its variable ends so.
        return text if text.endswith("\n") else text + "\n"
    try:
        template = environment.get_template(entry["src"])
    except jinja2.TemplateError as error:
        raise RenderError(f"role {role.name}: template {entry['src']}: {error}") from error
    return _render(role, template, entry["src"], known)


def _render(role: Role, template: jinja2.Template, what: str, known: Mapping[str, Any]) -> str:
    try:
        return template.render(known)
    except _NotKnownYet.Error:
        raise
    except jinja2.UndefinedError as error:
        raise RenderError(f"role {role.name}: {what}: {error.message}") from error
