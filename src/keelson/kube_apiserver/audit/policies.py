"""The audit policy: which requests are recorded, at which stages, and how much of them. The first rule that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keelson.component_base import configurations
from keelson.component_base.configurations import ConfigurationError, Fields
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
API_VERSION = "audit.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is recorded of one request; `level` is an index of LEVELS."""

    level: int
    omitted: frozenset[str]
    omit_managed_fields: bool


@dataclass(frozen=True, slots=True)
class _Resources:
    group: str
    resources: Sequence[str]
    names: Sequence[str]

    def match(self, info: RequestInfo) -> bool:
        if self.group not in (info.group, "*"):
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        whole = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        wanted = {"*", whole, f"{info.resource}/*"}
        if info.subresource:
            wanted.add(f"*/{info.subresource}")
        return any(each in wanted for each in self.resources)


@dataclass(frozen=True, slots=True)
class _Rule:
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: Sequence[_Resources]
    urls: Sequence[str]
    verdict: Verdict

    def match(self, user: User, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not info.is_resource or (self.namespaces and info.namespace not in self.namespaces):
                return False
            return not self.resources or any(each.match(info) for each in self.resources)
        if self.urls:
            return not info.is_resource and any(_is_url(url, info.path) for url in self.urls)
        return True


def _is_url(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


class Policy:
    """A policy that was read."""

    def __init__(self, rules: Sequence[_Rule], otherwise: Verdict) -> None:
        self._rules = rules
        self._otherwise = otherwise

    def verdict(self, user: User, info: RequestInfo) -> Verdict:
        """What is recorded of a request; nothing where no rule fits."""
        for rule in self._rules:
            if rule.match(user, info):
                return rule.verdict
        return self._otherwise


def load(path: str) -> Policy:
    """The Policy of a file. Raises ConfigurationError, which names the field."""
    document = configurations.load(path, kind="Policy", api_versions=(API_VERSION,))
    fields = Fields(path, document)
    fields.ignore("metadata")
    omitted = _stages(f"{path}.omitStages", fields.get("omitStages", list, []))
    managed = fields.get("omitManagedFields", bool, False)
    entries = fields.get("rules", list, [])
    fields.close()
    if not entries:
        raise ConfigurationError(f"{path}: loaded illegal policy with 0 rules")
    rules = [_rule(f"{path}: rules[{index}]", entry, omitted, managed) for index, entry in enumerate(entries)]
    return Policy(rules, Verdict(0, omitted, managed))


def _stages(where: str, values: list[Any]) -> frozenset[str]:
    for stage in values:
        if stage not in STAGES:
            raise ConfigurationError(f'{where}: "{stage}" is not one of {", ".join(STAGES)}')
    return frozenset(values)


def _rule(where: str, entry: Any, omitted: frozenset[str], managed: bool) -> _Rule:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: want a mapping")
    fields = Fields(where, entry)
    level = fields.get("level", str, "")
    if level not in LEVELS:
        raise ConfigurationError(f'{where}.level: "{level}" is not one of {", ".join(LEVELS)}')
    own = fields.get("omitManagedFields", bool, None)
    stages = _stages(f"{where}.omitStages", fields.get("omitStages", list, []))
    resources = [
        _resources(f"{where}.resources[{index}]", each) for index, each in enumerate(fields.get("resources", list, []))
    ]
    urls = fields.get("nonResourceURLs", list, [])
    names = {key: frozenset(fields.get(key, list, [])) for key in ("users", "userGroups", "verbs", "namespaces")}
    fields.close()
    if urls and (resources or names["namespaces"]):
        raise ConfigurationError(f"{where}.nonResourceURLs: rules cannot apply to both resources and other URLs")
    for url in urls:
        if url != "*" and (not str(url).startswith("/") or "*" in str(url)[:-1]):
            raise ConfigurationError(f'{where}.nonResourceURLs: "{url}" must begin with / and may end with *')
    verdict = Verdict(LEVELS.index(level), omitted | stages, managed if own is None else own)
    return _Rule(names["users"], names["userGroups"], names["verbs"], names["namespaces"], resources, urls, verdict)


def _resources(where: str, entry: Any) -> _Resources:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: want a mapping")
    fields = Fields(where, entry)
    found = _Resources(
        fields.get("group", str, ""), fields.get("resources", list, []), fields.get("resourceNames", list, [])
    )
    fields.close()
    if found.names and not found.resources:
        raise ConfigurationError(f"{where}.resourceNames: using resourceNames requires at least one resource")
    return found
