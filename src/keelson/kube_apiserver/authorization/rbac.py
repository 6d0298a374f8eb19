"""Role-based access control: what roles allow to those whom bindings name ("Using RBAC Authorization").

The policy is kept as an index by subject, rebuilt when a role or binding changes; verdicts are remembered until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .unions import Verdict

Rule = Mapping[str, Any]

_REMEMBERED = 50_000


class Grant(NamedTuple):
    """The rules that one binding gives, in one namespace or, where that is "", everywhere."""

    namespace: str
    rules: Sequence[Rule]
    reason: str


def account_user(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def allows(rule: Rule, info: RequestInfo) -> bool:
    """Whether one rule allows the request."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and info.verb not in verbs:
        return False
    if not info.is_resource:
        return any(_path_matches(url, info.path) for url in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and info.group not in groups:
        return False
    resources = rule.get("resources") or ()
    wanted = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    whole = bool(info.subresource) and f"*/{info.subresource}" in resources
    if "*" not in resources and wanted not in resources and not whole:
        return False
    names = rule.get("resourceNames")
    return not names or info.name in names


def _path_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))


class Rbac:
    """The mode RBAC, on the four collections of policy."""

    def __init__(
        self, roles: Collection, cluster_roles: Collection, bindings: Collection, cluster_bindings: Collection
    ) -> None:
        self._roles = roles
        self._cluster_roles = cluster_roles
        self._bindings = bindings
        self._cluster_bindings = cluster_bindings
        self._stale = True
        self._by_user: dict[str, list[Grant]] = {}
        self._by_group: dict[str, list[Grant]] = {}
        self._verdicts: Recent[tuple[User, RequestInfo], Verdict] = Recent(_REMEMBERED)
        for collection in (roles, cluster_roles, bindings, cluster_bindings):
            collection.observers.append(self._forget)

    def _forget(self, _changes: object) -> None:
        self._stale = True

    def _rebuild(self) -> None:
        self._stale = False
        self._verdicts.clear()
        self._by_user, self._by_group = {}, {}
        roles = {(i.namespace, i.name): _decoded(i).get("rules") or [] for i in self._roles.items.values()}
        for item in self._cluster_roles.items.values():
            roles["", item.name] = _decoded(item).get("rules") or []
        for collection in (self._bindings, self._cluster_bindings):
            for item in collection.items.values():
                binding = _decoded(item)
                reference = binding.get("roleRef") or {}
                place = "" if reference.get("kind") == "ClusterRole" else item.namespace
                rules = roles.get((place, reference.get("name") or ""))
                if rules is None:
                    continue
                kind = "RoleBinding" if item.namespace else "ClusterRoleBinding"
                shown = f"{item.name}/{item.namespace}" if item.namespace else item.name
                for subject in binding.get("subjects") or ():
                    self._add(subject, item.namespace, rules, f'{kind} "{shown}" of {_described(reference)}')

    def _add(self, subject: Mapping[str, Any], namespace: str, rules: Sequence[Rule], source: str) -> None:
        name, kind = subject.get("name") or "", subject.get("kind")
        if kind == "ServiceAccount":
            where = subject.get("namespace") or namespace
            reason = f'RBAC: allowed by {source} to ServiceAccount "{name}/{where}"'
            self._by_user.setdefault(account_user(where, name), []).append(Grant(namespace, rules, reason))
        elif kind in ("User", "Group"):
            index = self._by_user if kind == "User" else self._by_group
            reason = f'RBAC: allowed by {source} to {kind} "{name}"'
            index.setdefault(name, []).append(Grant(namespace, rules, reason))

    def grants(self, user: User) -> Iterator[Grant]:
        """Every grant that the user has by name or by group."""
        if self._stale:
            self._rebuild()
        yield from self._by_user.get(user.name, ())
        for group in user.groups:
            yield from self._by_group.get(group, ())

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Every rule that holds for the user in a namespace ("" for those that hold everywhere)."""
        return [rule for grant in self.grants(user) if grant.namespace in ("", namespace) for rule in grant.rules]

    def role_rules(self, kind: str, namespace: str, name: str) -> list[Rule] | None:
        """The rules of a role that a binding refers to, None where there is no such role."""
        collection = self._cluster_roles if kind == "ClusterRole" else self._roles
        prefix = collection.prefix
        item = collection.items.get(f"{prefix}{name}" if kind == "ClusterRole" else f"{prefix}{namespace}/{name}")
        return None if item is None else list(_decoded(item).get("rules") or [])

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Allowed, or no opinion."""
        if self._stale:
            self._rebuild()
        key = (user, info)
        known = self._verdicts.get(key)
        if known is None:
            known = self._decide(user, info)
            self._verdicts[key] = known
        return known

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Whether a rule allows it that names no objects."""
        return self.authorize(user, info).allowed is True

    def _decide(self, user: User, info: RequestInfo) -> Verdict:
        for grant in self.grants(user):
            if grant.namespace and (grant.namespace != info.namespace or not info.is_resource):
                continue
            if any(allows(rule, info) for rule in grant.rules):
                return Verdict(True, grant.reason)
        return Verdict(None)


def _decoded(item: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = item.object("", "")
    return decoded


def _described(reference: Mapping[str, Any]) -> str:
    return f'{reference.get("kind")} "{reference.get("name")}"'


def covers(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that `owned` do not allow: one rule for each verb and thing."""
    missing: list[Rule] = []
    for rule in wanted:
        missing += [piece for piece in _pieces(rule) if not any(_covers(each, piece) for each in owned)]
    return missing


def _pieces(rule: Rule) -> Iterator[Rule]:
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                piece: dict[str, Any] = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                names = rule.get("resourceNames") or ()
                if not names:
                    yield piece
                for name in names:
                    yield {**piece, "resourceNames": [name]}
        for url in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [url]}


def _covers(owned: Rule, piece: Rule) -> bool:
    """Whether a rule allows a whole piece, whose every list has one element."""
    verbs = owned.get("verbs") or ()
    if "*" not in verbs and piece["verbs"][0] not in verbs:
        return False
    if "nonResourceURLs" in piece:
        return any(_url_covers(url, piece["nonResourceURLs"][0]) for url in owned.get("nonResourceURLs") or ())
    groups, resources = owned.get("apiGroups") or (), owned.get("resources") or ()
    if "*" not in groups and piece["apiGroups"][0] not in groups:
        return False
    resource = piece["resources"][0]
    if "*" not in resources and resource not in resources:
        subresource = resource.partition("/")[2]
        if not subresource or f"*/{subresource}" not in resources:
            return False
    names = owned.get("resourceNames")
    return not names or ("resourceNames" in piece and piece["resourceNames"][0] in names)


def _url_covers(owned: str, wanted: str) -> bool:
    if owned in ("*", wanted):
        return True
    return owned.endswith("*") and wanted.startswith(owned[:-1])
