"""Attribute-based access control: a file with one policy a line, read at the start ("Using ABAC Authorization").

Each line is a Policy of abac.authorization.kubernetes.io/v1beta1 in JSON; one that fits allows, and none denies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keelson.component_base.configurations import ConfigurationError, Fields
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .unions import ALLOWED, Verdict

_API_VERSION = "abac.authorization.kubernetes.io/v1beta1"
_AUTHENTICATED = "system:authenticated"
_READS = frozenset({"get", "list", "watch"})
_NOTHING = Verdict(None, "No policy matched.")


@dataclass(frozen=True, slots=True)
class _Policy:
    user: str
    group: str
    read_only: bool
    api_group: str
    resource: str
    namespace: str
    path: str

    def matches(self, user: User, info: RequestInfo) -> bool:
        if not self._is_about(user) or (self.read_only and info.verb not in _READS):
            return False
        if not info.is_resource:
            return self.path in ("*", info.path) or (
                self.path.endswith("*") and info.path.startswith(self.path.rstrip("*"))
            )
        return (
            self.namespace in ("*", info.namespace)
            and self.resource in ("*", info.resource)
            and self.api_group in ("*", info.group)
        )

    def _is_about(self, user: User) -> bool:
        for wanted, has in ((self.user, (user.name,)), (self.group, user.groups)):
            # Everybody is everybody who is known: anonymous requests never are.
            if wanted and wanted not in has and not (wanted == "*" and _AUTHENTICATED in user.groups):
                return False
        return bool(self.user or self.group)


class Abac:
    """The mode ABAC."""

    def __init__(self, policies: Sequence[_Policy]) -> None:
        self._policies = policies

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Allowed where a policy fits, else no opinion."""
        return ALLOWED if any(policy.matches(user, info) for policy in self._policies) else _NOTHING

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Policies know no names of objects."""
        return self.authorize(user, info).allowed is True


def load(path: str) -> Abac:
    """The mode with the policies of a file. Raises ConfigurationError, which names the line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    policies = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}: line {number}"
        try:
            document = json.loads(line)
        except ValueError as error:
            raise ConfigurationError(f"{where}: not valid JSON: {error}") from error
        if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (
            _API_VERSION,
            "Policy",
        ):
            raise ConfigurationError(f"{where}: want {_API_VERSION} Policy")
        fields = Fields(where, document)
        fields.ignore("apiVersion", "kind")
        spec = fields.child("spec")
        user, group, namespace, resource, api_group, url = (
            spec.get(name, str, "")
            for name in ("user", "group", "namespace", "resource", "apiGroup", "nonResourcePath")
        )
        read_only = spec.get("readonly", bool, False)
        fields.close()
        policies.append(_Policy(user, group, read_only, api_group, resource, namespace, url))
    return Abac(policies)
