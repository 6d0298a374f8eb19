"""Levels, versions and the three modes of a namespace, from its labels ("Pod Security Admission")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from keelson.api import errors

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
PREFIX = "pod-security.kubernetes.io/"
LATEST = "latest"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mode:
    """A level as it was in a version of Kubernetes ("latest" or "v1.N")."""

    level: str = PRIVILEGED
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def equivalent(self, other: Mode) -> bool:
        """Whether both allow the same."""
        return self == other or self.level == other.level == PRIVILEGED


@dataclass(frozen=True, slots=True)
class Policy:
    """What is enforced, what is noted in the audit log, what is warned of."""

    enforce: Mode = Mode()
    audit: Mode = Mode()
    warn: Mode = Mode()

    @property
    def is_privileged(self) -> bool:
        """Whether no mode asks for anything."""
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED

    def equivalent(self, other: Policy) -> bool:
        """Whether all modes allow the same."""
        pairs = ((self.enforce, other.enforce), (self.audit, other.audit), (self.warn, other.warn))
        return all(mine.equivalent(theirs) for mine, theirs in pairs)


def compare(left: str, right: str) -> int:
    """Below, at or above 0 as the left level is less, as or more strict than the right one."""
    return LEVELS.index(left) - LEVELS.index(right)


def is_version(text: str) -> bool:
    """Whether the text names a version: "latest" or "v1.N"."""
    return text == LATEST or _VERSION.fullmatch(text) is not None


def minor(version: str) -> int | None:
    """N of "v1.N", None for the latest."""
    found = _VERSION.fullmatch(version)
    return int(found[1]) if found is not None else None


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[dict[str, str]]]:
    """(the policy that a namespace's labels state, what is wrong with them as causes).

    What can't be read is enforced as the strictest, and neither audited nor warned of.
    """
    causes: list[dict[str, str]] = []
    modes = {"enforce": defaults.enforce, "audit": defaults.audit, "warn": defaults.warn}
    if not any(key.startswith(PREFIX) for key in labels):
        return defaults, causes
    for name in modes:
        level, version = labels.get(PREFIX + name), labels.get(f"{PREFIX}{name}-version")
        if level is not None and level not in LEVELS:
            causes.append(_cause(PREFIX + name, level, f"must be one of {', '.join(LEVELS)}"))
            modes[name] = replace(modes[name], level=RESTRICTED if name == "enforce" else PRIVILEGED)
        elif level is not None:
            modes[name] = replace(modes[name], level=level)
        if version is not None and not is_version(version):
            causes.append(_cause(f"{PREFIX}{name}-version", version, 'must be "latest" or "v1.x"'))
            version = LATEST
        if version is not None:
            modes[name] = replace(modes[name], version=version)
    enforce, warn = modes["enforce"], modes["warn"]
    stated = labels.get(PREFIX + "enforce") in LEVELS
    if PREFIX + "warn" not in labels and stated and compare(enforce.level, warn.level) > 0:
        # Who enforces is warned as well: workloads are told what their pods will be refused for.
        warned = PREFIX + "warn-version" in labels
        modes["warn"] = Mode(enforce.level, warn.version if warned else enforce.version)
    return Policy(**modes), causes


def _cause(label: str, value: str, why: str) -> dict[str, str]:
    return errors.cause(f"metadata.labels[{label}]", "FieldValueInvalid", f'Invalid value: "{value}": {why}')
