"""Configuration files of daemons: one YAML document with apiVersion and kind, every field known or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import durations


class ConfigurationError(Exception):
    """A configuration file that can't be used; the message names the file and the field."""


def load(path: str, *, kind: str, api_versions: tuple[str, ...]) -> dict[str, Any]:
    """The document at `path` without apiVersion and kind.

    Raises ConfigurationError where the file can't be read or is of another kind or version.
    """
    return of_kind(document(path), path, kind=kind, api_versions=api_versions)


def document(path: str) -> dict[str, Any]:
    """The mapping that the file at `path` holds. Raises ConfigurationError where it can't be read or holds none."""
    # Only those who have a file of this kind pay for its reader.
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: the document must be a mapping")
    return found


def of_kind(stated: Mapping[str, Any], where: str, *, kind: str, api_versions: tuple[str, ...]) -> dict[str, Any]:
    """The document without apiVersion and kind. Raises ConfigurationError where it is of another kind or version."""
    if stated.get("kind") != kind or stated.get("apiVersion") not in api_versions:
        wanted = " or ".join(api_versions)
        found = f"{stated.get('apiVersion')} {stated.get('kind')}"
        raise ConfigurationError(f"{where}: want {wanted} {kind}, found {found}")
    return {key: value for key, value in stated.items() if key not in {"kind", "apiVersion"}}


class Fields:
    """A reader of one mapping that knows which fields were asked for, so that `close` can refuse the others."""

    def __init__(self, where: str, values: Mapping[str, Any] | None) -> None:
        self._where = where
        self._values = dict(values or {})
        self._children: list[Fields] = []

    def get(self, name: str, type_: type | tuple[type, ...], default: Any) -> Any:
        """The field's value, or the default where it is absent or null; ConfigurationError where its type differs."""
        value = self._values.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, type_) or (isinstance(value, bool) and type_ is int):
            wanted = type_.__name__ if isinstance(type_, type) else "/".join(t.__name__ for t in type_)
            raise ConfigurationError(f"{self._where}.{name}: want {wanted}, found {type(value).__name__}")
        return value

    def seconds(self, name: str, default: float) -> float:
        """A duration in Go's notation, as seconds."""
        text = self.get(name, str, None)
        if text is None:
            return default
        try:
            return durations.parse(text)
        except ValueError as error:
            raise ConfigurationError(f"{self._where}.{name}: {error}") from error

    def child(self, name: str) -> Fields:
        """The reader of a nested mapping (empty where absent)."""
        reader = Fields(f"{self._where}.{name}", self.get(name, dict, {}))
        self._children.append(reader)
        return reader

    def ignore(self, *names: str) -> None:
        """Accept fields that mean nothing to this implementation; the caller documents why."""
        for name in names:
            self._values.pop(name, None)

    def close(self) -> None:
        """Refuse what nobody asked for."""
        for unknown in self._values:
            raise ConfigurationError(f"{self._where}.{unknown}: unknown field")
        for reader in self._children:
            reader.close()
