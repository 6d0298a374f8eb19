"""Which authorizers there are, in which order: AuthorizationConfiguration (KEP-3221), or --authorization-mode."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelson.api.cel import programs, syntax, types
from keelson.api.cel.programs import Program
from keelson.component_base import configurations
from keelson.component_base.configurations import ConfigurationError, Fields

from .webhooks import Settings

MODES = ("AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node")
_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MOST_CONDITIONS = 64
_MOST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One authorizer. What follows `name` is for webhooks: their kubeconfig and the time for one answer."""

    mode: str
    name: str
    kubeconfig: str = ""
    seconds: float = _MOST_SECONDS
    settings: Settings | None = None


def load(path: str) -> list[Entry]:
    """The AuthorizationConfiguration of a file. Raises ConfigurationError."""
    document = configurations.load(path, kind="AuthorizationConfiguration", api_versions=_VERSIONS)
    fields = Fields(path, document)
    entries = fields.get("authorizers", list, [])
    fields.close()
    if not entries:
        raise ConfigurationError(
            f"{path}: authorizers: Required value: at least one authorization mode must be defined"
        )
    found: list[Entry] = []
    names: set[str] = set()
    for index, entry in enumerate(entries):
        where = f"{path}: authorizers[{index}]"
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{where}: want a mapping")
        fields = Fields(where, entry)
        mode, name = fields.get("type", str, ""), fields.get("name", str, "")
        webhook = fields.get("webhook", dict, None)
        fields.close()
        if mode not in MODES:
            supported = ", ".join(f'"{each}"' for each in MODES)
            raise ConfigurationError(f'{where}.type: Unsupported value: "{mode}": supported values: {supported}')
        if mode != "Webhook" and any(mode == other.mode for other in found):
            raise ConfigurationError(f'{where}.type: Duplicate value: "{mode}"')
        if not name:
            raise ConfigurationError(f"{where}.name: Required value")
        if name in names:
            raise ConfigurationError(f'{where}.name: Duplicate value: "{name}"')
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise ConfigurationError(f'{where}.name: Invalid value: "{name}": authorizer name is invalid')
        names.add(name)
        if mode == "Webhook":
            if webhook is None:
                raise ConfigurationError(f"{where}.webhook: Required value: required when type=Webhook")
            found.append(_webhook(f"{where}.webhook", name, webhook))
            continue
        if webhook is not None:
            raise ConfigurationError(f"{where}.webhook: Invalid value: may only be specified when type=Webhook")
        found.append(Entry(mode, name))
    return found


def _webhook(where: str, name: str, entry: dict[str, Any]) -> Entry:
    fields = Fields(where, entry)
    seconds = _positive(where, "timeout", fields)
    if seconds > _MOST_SECONDS:
        raise ConfigurationError(f"{where}.timeout: Invalid value: must be > 0s and <= 30s")
    allowed = _positive(where, "authorizedTTL", fields, 300.0)
    refused = _positive(where, "unauthorizedTTL", fields, 30.0)
    if not fields.get("cacheAuthorizedRequests", bool, True):
        allowed = 0.0
    if not fields.get("cacheUnauthorizedRequests", bool, True):
        refused = 0.0
    version = _choice(where, "subjectAccessReviewVersion", fields, ("v1", "v1beta1"))
    policy = _choice(where, "failurePolicy", fields, ("NoOpinion", "Deny"))
    conditions = fields.get("matchConditions", list, [])
    if conditions:
        _choice(where, "matchConditionSubjectAccessReviewVersion", fields, ("v1",))
    else:
        fields.ignore("matchConditionSubjectAccessReviewVersion")
    connection = fields.child("connectionInfo")
    if connection.get("type", str, "") != "KubeConfigFile":
        raise ConfigurationError(f'{where}.connectionInfo.type: Unsupported value: supported values: "KubeConfigFile"')
    kubeconfig = connection.get("kubeConfigFile", str, "")
    fields.close()
    if not kubeconfig:
        raise ConfigurationError(f"{where}.connectionInfo.kubeConfigFile: Required value")
    if not Path(kubeconfig).is_absolute():
        raise ConfigurationError(f"{where}.connectionInfo.kubeConfigFile: Invalid value: must be an absolute path")
    if not Path(kubeconfig).is_file():
        raise ConfigurationError(f"{where}.connectionInfo.kubeConfigFile: Invalid value: must be a regular file")
    settings = Settings(name, version, allowed, refused, policy == "Deny", _conditions(where, conditions))
    return Entry("Webhook", name, kubeconfig, seconds, settings)


def _positive(where: str, name: str, fields: Fields, default: float = 0.0) -> float:
    seconds = fields.seconds(name, default)
    if seconds <= 0:
        raise ConfigurationError(
            f"{where}.{name}: {'Required value' if not seconds else 'Invalid value: must be > 0s'}"
        )
    return seconds


def _choice(where: str, name: str, fields: Fields, choices: Sequence[str]) -> str:
    found: str = fields.get(name, str, "")
    if not found:
        raise ConfigurationError(f"{where}.{name}: Required value")
    if found not in choices:
        supported = ", ".join(f'"{each}"' for each in choices)
        raise ConfigurationError(f'{where}.{name}: Unsupported value: "{found}": supported values: {supported}')
    return found


def _conditions(where: str, entries: Sequence[Any]) -> list[Program]:
    if len(entries) > _MOST_CONDITIONS:
        raise ConfigurationError(f"{where}.matchConditions: Too many: must have at most {_MOST_CONDITIONS} items")
    found: dict[str, Program] = {}
    for index, entry in enumerate(entries):
        place = f"{where}.matchConditions[{index}].expression"
        expression = str((entry if isinstance(entry, dict) else {}).get("expression") or "")
        if not expression.strip():
            raise ConfigurationError(f"{place}: Required value")
        if expression in found:
            raise ConfigurationError(f"{place}: Duplicate value: {expression!r}")
        try:
            program = programs.compile(expression, {"request": types.map_of(types.STRING, types.DYN)})
        except syntax.CelError as error:
            raise ConfigurationError(f"{place}: Invalid value: {expression!r}: compilation failed: {error}") from error
        if str(program.type) not in ("bool", "dyn"):
            raise ConfigurationError(f"{place}: Invalid value: {expression!r}: must evaluate to bool")
        found[expression] = program
    return list(found.values())


def of_flags(options: argparse.Namespace) -> list[Entry]:
    """What --authorization-mode and the webhook's flags describe. Raises ConfigurationError."""
    found = []
    for mode in options.authorization_mode or ["AlwaysAllow"]:
        if mode != "Webhook":
            # As upstream names those that flags choose.
            found.append(Entry(mode, mode.lower()))
            continue
        if not options.authorization_webhook_config_file:
            raise ConfigurationError("authorization-mode Webhook's authorization config file not passed")
        settings = Settings(
            "default",
            options.authorization_webhook_version,
            options.authorization_webhook_cache_authorized_ttl,
            options.authorization_webhook_cache_unauthorized_ttl,
        )
        found.append(
            Entry("Webhook", settings.name, options.authorization_webhook_config_file, _MOST_SECONDS, settings)
        )
    return found
