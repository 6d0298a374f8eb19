"""The raw values of a stack's configuration, read by type; every complaint names its key and the remedy."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any


class SettingsError(Exception):
    """A configuration that cannot be: one sentence that names the key and what to do."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"keelson:{key}: {reason}")
        self.key = key
        self.reason = reason


class Values:
    """A configuration as Pulumi hands it over: strings by key. Every method raises SettingsError."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config

    def text(self, key: str, default: str) -> str:
        """The string, or the default."""
        return self._config.get(key, default)

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        """One of the options, the first where none was made."""
        value = self._config.get(key, options[0])
        if value not in options:
            raise SettingsError(key, f"must be one of {', '.join(options)}; got {value!r}")
        return value

    def number(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number in these bounds."""
        raw = self._config.get(key)
        if raw is None:
            return default
        if not re.fullmatch(r"-?\d{1,9}", raw) or not low <= int(raw) <= high:
            raise SettingsError(key, f"must be a whole number from {low} to {high}; got {raw!r}")
        return int(raw)

    def network(self, key: str, default: str) -> ipaddress.IPv4Network:
        """An IPv4 network."""
        raw = self._config.get(key, default)
        try:
            return ipaddress.IPv4Network(raw)
        except ValueError as error:
            raise SettingsError(key, f"{raw!r} is not an IPv4 network such as 10.64.1.0/24: {error}") from None

    def objects(self, key: str) -> list[dict[str, Any]]:
        """A JSON list of objects, at least one."""
        raw = self._config.get(key)
        if raw is None:
            raise SettingsError(key, "missing: list the machines, each with name, role, address, hostKey")
        try:
            value = json.loads(raw)
        except json.JSONDecodeError as error:
            raise SettingsError(key, f"is not JSON: {error}") from None
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise SettingsError(key, "must be a list of objects, at least one")
        return value


def address(key: str, raw: str) -> ipaddress.IPv4Address:
    """An IPv4 address given for a key. Raises SettingsError."""
    try:
        return ipaddress.IPv4Address(raw)
    except ValueError:
        raise SettingsError(key, f"{raw!r} is not an IPv4 address") from None
