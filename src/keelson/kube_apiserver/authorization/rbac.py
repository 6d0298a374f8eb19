"""The RBAC authoriser: roles and bindings, kept as they change, asked at every request.

Rules: Kubernetes documentation, "Using RBAC Authorization"; privilege escalation prevention among them. Pure: the
server feeds it roles and bindings, it answers. There are no denials, so the first rule that allows ends the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .unions import NO_OPINION, Verdict

_ALL = "*"
ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Rule:
    """One PolicyRule, its lists as sets."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        """The rule of a role's `rules` entry."""
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )

    def allows(self, info: RequestInfo) -> bool:
        """Whether the rule allows this request."""
        if _ALL not in self.verbs and info.verb not in self.verbs:
            return False
        if not info.is_resource:
            return any(_url_matches(url, info.path) for url in self.urls)
        if _ALL not in self.groups and info.group not in self.groups:
            return False
        if not self._has_resource(info.resource, info.subresource):
            return False
        return not self.names or info.name in self.names

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if _ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def covers(self, single: Rule) -> bool:
        """Whether all that `single` (one verb, one resource or URL) allows is allowed by this rule too."""
        if _ALL not in self.verbs and not single.verbs <= self.verbs:
            return False
        if single.urls:
            return all(any(_url_covers(own, url) for own in self.urls) for url in single.urls)
        if _ALL not in self.groups and not single.groups <= self.groups:
            return False
        for resource in single.resources:
            plain, _, subresource = resource.partition("/")
            if not self._has_resource(plain, subresource):
                return False
        return not self.names or (bool(single.names) and single.names <= self.names)

    def parts(self) -> Iterator[Rule]:
        """The rule as rules of one verb and one resource (and name) or URL each."""
        for verb in sorted(self.verbs):
            verbs = frozenset((verb,))
            for url in self.urls:
                yield Rule(verbs, frozenset(), frozenset(), frozenset(), (url,))
            for group in sorted(self.groups):
                for resource in sorted(self.resources):
                    for name in sorted(self.names) or [""]:
                        names = frozenset((name,)) if name else frozenset()
                        yield Rule(verbs, frozenset((group,)), frozenset((resource,)), names, ())

    def to_object(self) -> Object:
        """The rule as a role or a SelfSubjectRulesReview lists it."""
        fields = {
            "verbs": sorted(self.verbs),
            "apiGroups": sorted(self.groups),
            "resources": sorted(self.resources),
            "resourceNames": sorted(self.names),
            "nonResourceURLs": list(self.urls),
        }
        return {name: value for name, value in fields.items() if value}


def _url_matches(pattern: str, path: str) -> bool:
    return pattern in {_ALL, path} or (pattern.endswith(_ALL) and path.startswith(pattern[:-1]))


def _url_covers(own: str, wanted: str) -> bool:
    return own in {_ALL, wanted} or (own.endswith(_ALL) and wanted.removesuffix(_ALL).startswith(own[:-1]))


@dataclass(frozen=True, slots=True)
class _Binding:
    name: str
    namespace: str
    role: str
    role_is_cluster: bool
    users: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, obj: Object) -> _Binding:
        users: set[str] = set()
        groups: set[str] = set()
        for subject in obj.get("subjects") or []:
            if subject["kind"] == "User":
                users.add(subject["name"])
            elif subject["kind"] == "Group":
                groups.add(subject["name"])
            elif subject["kind"] == "ServiceAccount":
                namespace = subject.get("namespace") or meta.namespace(obj)
                users.add(f"{ACCOUNT_PREFIX}{namespace}:{subject['name']}")
        reference = obj["roleRef"]
        return cls(
            meta.name(obj),
            meta.namespace(obj),
            reference["name"],
            reference["kind"] == "ClusterRole",
            frozenset(users),
            frozenset(groups),
        )

    def names(self, user: User) -> bool:
        return user.name in self.users or not self.groups.isdisjoint(user.groups)


class Rbac:
    """Roles and bindings. `put` and `remove` keep it current; namespace "" holds what is cluster-wide."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, dict[str, _Binding]] = {"": {}}
        # What a user's bindings yield, per namespace; emptied when a role or binding changes.
        self._effective: dict[tuple[User, str], tuple[tuple[Rule, str], ...]] = {}

    def put(self, obj: Object) -> None:
        """Take in a Role, ClusterRole, RoleBinding or ClusterRoleBinding."""
        self._effective.clear()
        namespace = meta.namespace(obj)
        if obj["kind"] in {"Role", "ClusterRole"}:
            self._roles[namespace, meta.name(obj)] = tuple(Rule.of(rule) for rule in obj.get("rules") or [])
        else:
            self._bindings.setdefault(namespace, {})[meta.name(obj)] = _Binding.of(obj)

    def remove(self, obj: Object) -> None:
        """Forget one that was deleted."""
        self._effective.clear()
        namespace = meta.namespace(obj)
        if obj["kind"] in {"Role", "ClusterRole"}:
            self._roles.pop((namespace, meta.name(obj)), None)
        else:
            self._bindings.get(namespace, {}).pop(meta.name(obj), None)

    def role_rules(self, namespace: str, reference: Mapping[str, Any]) -> tuple[Rule, ...] | None:
        """The rules of the role that a binding in this namespace refers to; None where it does not exist."""
        return self._roles.get(("" if reference["kind"] == "ClusterRole" else namespace, reference["name"]))

    def rules_of(self, user: User, namespace: str) -> tuple[tuple[Rule, str], ...]:
        """(rule, why it applies) of the user in a namespace; "" for cluster-wide rules alone."""
        key = user, namespace
        found = self._effective.get(key)
        if found is None:
            if len(self._effective) > 8192:
                self._effective.clear()
            found = self._effective[key] = tuple(self._find(user, namespace))
        return found

    def _find(self, user: User, namespace: str) -> Iterator[tuple[Rule, str]]:
        for place in ("", namespace) if namespace else ("",):
            for binding in self._bindings.get(place, {}).values():
                if not binding.names(user):
                    continue
                kind, shown = (
                    ("RoleBinding", f"{binding.name}/{place}") if place else ("ClusterRoleBinding", binding.name)
                )
                role_kind = "ClusterRole" if binding.role_is_cluster else "Role"
                why = f'RBAC: allowed by {kind} "{shown}" of {role_kind} "{binding.role}"'
                role = self._roles.get(("" if binding.role_is_cluster else place, binding.role))
                for rule in role or ():
                    yield rule, why

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Allowed by the first rule that does; no opinion where none does."""
        for rule, why in self.rules_of(user, info.namespace):
            if rule.allows(info):
                return Verdict(True, why)
        return NO_OPINION

    def missing(self, user: User, namespace: str, wanted: Iterable[Rule]) -> list[Rule]:
        """What of `wanted` the user does not have in the namespace: nobody grants more than they hold."""
        held = [rule for rule, _ in self.rules_of(user, namespace)]
        return [part for rule in wanted for part in rule.parts() if not any(own.covers(part) for own in held)]
