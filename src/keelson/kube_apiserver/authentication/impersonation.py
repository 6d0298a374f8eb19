"""Impersonation: who may, acts as somebody else by headers ("User impersonation").

There are five modes (KEP-5284, constrained impersonation), asked in turn until one allows it. In a constrained mode
two things are permissions: to impersonate this one (`impersonate:MODE` on nodes, serviceaccounts, users, groups, uids
or userextras), and to do while so doing what the request does (`impersonate-on:MODE:VERB`). In the oldest one
`impersonate` on each name is enough for everything. The server's own checks then see only whom the request acts as.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple
from urllib.parse import unquote

from keelson.api import errors
from keelson.api.validation import names
from keelson.component_base import metrics
from keelson.kube_apiserver.authorization.unions import Authorizer, RefusalError, decided, refusal
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_ACCOUNT, _NODE = "system:serviceaccount:", "system:node:"
_AUTHENTICATION = "authentication.k8s.io"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_NODE_KEYS = "authentication.kubernetes.io/associated-node-keys"
_ANONYMOUS, _UNAUTHENTICATED, _AUTHENTICATED = "system:anonymous", "system:unauthenticated", "system:authenticated"
_MASTERS, _NODES = "system:masters", "system:nodes"
_LEGACY = "legacy"
# How many users are remembered with the mode that served them last.
_REMEMBERED = 10_000
# From so many names on, leave for all of them is asked for first.
_MANY = 4
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")

_ATTEMPTS = metrics.counter(
    "apiserver_impersonation_attempts_total",
    "Impersonations that were tried, by mode and decision.",
    ("mode", "decision"),
)
_SECONDS = metrics.histogram(
    "apiserver_impersonation_attempts_duration_seconds",
    "Time that the decision on an impersonation took.",
    ("mode", "decision"),
    buckets=[0.001 * 2**power for power in range(15)],
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom the headers name, as they name him."""

    name: str
    uid: str = ""
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_only_a_name(self) -> bool:
        """Whether nothing but the name is stated."""
        return not (self.uid or self.groups or self.extra)

    @property
    def node(self) -> str:
        """The node that the name is of, "" where it is no node's."""
        name = self.name.removeprefix(_NODE)
        return name if self.name.startswith(_NODE) and not names.dns_subdomain(name) else ""

    @property
    def account(self) -> tuple[str, str] | None:
        """The namespace and name of the service account that the name is of."""
        return _account(self.name)


class Impersonated(NamedTuple):
    """Whom a request acts as. `constraint` is the verb that allowed it, "" where none constrains it."""

    user: User
    constraint: str = ""


def _account(name: str) -> tuple[str, str] | None:
    parts = name.removeprefix(_ACCOUNT).split(":")
    if not name.startswith(_ACCOUNT) or len(parts) != 2:
        return None
    return None if names.dns_label(parts[0]) or names.dns_subdomain(parts[1]) else (parts[0], parts[1])


def wanted(request: Request) -> Wanted | None:
    """What the headers ask for, None where nothing. Raises StatusError 400 where they name nobody."""
    users = request.lines(_USER)
    uids = request.lines(_UID)
    groups = request.lines(_GROUP)
    extra: dict[str, list[str]] = {}
    for key in request.headers:
        if key.startswith(_EXTRA):
            extra.setdefault(unquote(key[len(_EXTRA) :]), []).extend(request.lines(key))
    found = Wanted(users[0] if users else "", uids[0] if uids else "", groups, extra)
    if found.name:
        return found
    if found.is_only_a_name:
        return None
    raise RefusalError(400, "BadRequest", f"requested {_as_go(found)} without impersonating a user name")


def _as_go(found: Wanted) -> str:
    """The sentence that upstream's clients know, which shows a Go value."""

    def texts(values: Sequence[str]) -> str:
        return f"[]string{{{', '.join(json.dumps(each, ensure_ascii=False) for each in values)}}}"

    groups = texts(found.groups) if found.groups else "[]string(nil)"
    extra = "map[string][]string(nil)"
    if found.extra:
        pairs = sorted(found.extra.items())
        extra = f"map[string][]string{{{', '.join(f'{json.dumps(key)}:{texts(each)}' for key, each in pairs)}}}"
    return f'&user.DefaultInfo{{Name:"", UID:{json.dumps(found.uid)}, Groups:{groups}, Extra:{extra}}}'


# --- the modes


def _is_own_node(found: Wanted, user: User) -> bool:
    node = found.node
    return bool(
        node and found.is_only_a_name and _account(user.name) and tuple(user.extra.get(_NODE_NAME, ())) == (node,)
    )


_MODES: Mapping[str, Callable[[Wanted, User], bool]] = {
    "associated-node": _is_own_node,
    "arbitrary-node": lambda found, _user: found.is_only_a_name and bool(found.node),
    "serviceaccount": lambda found, _user: found.is_only_a_name and found.account is not None,
    "user-info": lambda found, _user: not found.node and found.account is None,
    _LEGACY: lambda _found, _user: True,
}


class Impersonations:
    """What one server decides of them. Which mode served a user last is asked first, so that most pay for one alone."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: Recent[str, str] = Recent(_REMEMBERED)

    async def applied(self, user: User, request: Request, info: RequestInfo) -> Impersonated | None:
        """Whom the request acts as, None where it is for nobody but the user. Raises StatusError 400, 403."""
        found = wanted(request)
        if found is None:
            return None
        began = perf_counter()
        refused: errors.StatusError | None = None
        last = self._last.get(user.name)
        for mode in _MODES if last is None else (last, *(each for each in _MODES if each != last)):
            if not _MODES[mode](found, user):
                continue
            try:
                made = await self._tried(mode, user, found, info)
            except errors.StatusError as error:
                # The first refusal is told: it is that of the mode which fits best.
                refused = refused or error
            else:
                self._last[user.name] = mode
                _note(mode, "allowed", began)
                return made
        _note("", "denied", began)
        assert refused is not None
        raise refused

    async def _tried(self, mode: str, user: User, found: Wanted, info: RequestInfo) -> Impersonated:
        if mode == _LEGACY:
            return await _Checks(user, self._authorizer, "impersonate", constrained=False).impersonated(found)
        return await _constrained(mode, user, found, info, self._authorizer)


def _note(mode: str, decision: str, began: float) -> None:
    _ATTEMPTS.labels(mode, decision).inc()
    _SECONDS.labels(mode, decision).observe(perf_counter() - began)


async def _constrained(mode: str, user: User, found: Wanted, info: RequestInfo, authorizer: Authorizer) -> Impersonated:
    asking = user
    if mode == "associated-node":
        # That the node is his own is settled: what else is known of an agent must not hang on where it runs.
        asking = replace(user, extra={_NODE_KEYS: tuple(sorted(user.extra))})
    await _permitted(authorizer, asking, info._replace(verb=f"impersonate-on:{mode}:{info.verb}"))
    checks = _Checks(asking, authorizer, f"impersonate:{mode}", constrained=True, any_node=mode == "associated-node")
    return await checks.impersonated(found)


async def _permitted(authorizer: Authorizer, user: User, info: RequestInfo) -> None:
    verdict = await decided(authorizer, user, info)
    if verdict.allowed is not True:
        raise refusal(user, info, verdict.reason)


class _Checks:
    """The permissions that one verb asks for, one a name that is taken on."""

    def __init__(
        self, user: User, authorizer: Authorizer, verb: str, *, constrained: bool, any_node: bool = False
    ) -> None:
        self._user = user
        self._authorizer = authorizer
        self._verb = verb
        self._constrained = constrained
        self._any_node = any_node

    def _info(self, resource: str, name: str, *, namespace: str = "", subresource: str = "") -> RequestInfo:
        legacy = not self._constrained and resource in ("users", "groups", "serviceaccounts")
        group = "" if legacy else _AUTHENTICATION
        return RequestInfo(True, self._verb, "", group, "v1", namespace, resource, subresource, name)

    async def _ask(self, info: RequestInfo) -> None:
        await _permitted(self._authorizer, self._user, info)

    async def impersonated(self, found: Wanted) -> Impersonated:
        """Whom the request acts as. Raises StatusError 403."""
        groups = await self._name(found)
        if found.uid:
            await self._ask(self._info("uids", found.uid))
        await self._groups(found.groups)
        await self._extra(found.extra)
        if found.name == _ANONYMOUS:
            groups = groups if _UNAUTHENTICATED in groups else [*groups, _UNAUTHENTICATED]
        elif _UNAUTHENTICATED not in groups and _AUTHENTICATED not in groups:
            groups = [*groups, _AUTHENTICATED]
        extra = {key: tuple(values) for key, values in found.extra.items()}
        user = User(found.name, tuple(groups), found.uid, extra)
        return Impersonated(user, self._verb if self._constrained else "")

    async def _name(self, found: Wanted) -> list[str]:
        """Ask for the name; the groups of him who has it."""
        account, node = found.account, found.node if self._constrained else ""
        if account is not None:
            namespace, name = account
            await self._ask(self._info("serviceaccounts", name, namespace=namespace))
            return list(found.groups) or ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        if node:
            await self._ask(self._info("nodes", "*" if self._any_node else node))
            return [_NODES]
        await self._ask(self._info("users", found.name))
        return list(found.groups)

    async def _groups(self, groups: Sequence[str]) -> None:
        if self._constrained and "" in groups:
            raise self._refused("groups", "", "impersonating the empty string group is not allowed")
        if self._constrained and _MASTERS in groups:
            raise self._refused("groups", _MASTERS, "impersonating the system:masters group is not allowed")
        if self._constrained and len(groups) >= _MANY and await self._may_all(self._info("groups", "*")):
            return
        for group in groups:
            await self._ask(self._info("groups", group))

    async def _extra(self, extra: Mapping[str, Sequence[str]]) -> None:
        if self._constrained:
            for key, values in extra.items():
                if wrong := _wrong_extra(key, values):
                    raise self._refused("userextras", "", wrong)
            many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
            if many and await self._may_all(self._info("userextras", "*", subresource="*")):
                return
        for key, values in extra.items():
            for value in values:
                await self._ask(self._info("userextras", value, subresource=key))

    async def _may_all(self, info: RequestInfo) -> bool:
        return (await decided(self._authorizer, self._user, info)).allowed is True

    def _refused(self, resource: str, name: str, why: str) -> errors.StatusError:
        return refusal(self._user, self._info(resource, name), why)


def _wrong_extra(key: str, values: Sequence[str]) -> str:
    """What is wrong with a key of extra and its values for the constrained modes, "" where nothing."""
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    host, _, path = key.partition("/")
    invalid = ""
    if not host or not path:
        invalid = f'extra.key: Invalid value: {json.dumps(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
    elif wrong := names.dns_subdomain(host):
        invalid = f"extra.key: Invalid value: {json.dumps(host)}: {wrong}"
    elif not _PATH.fullmatch(path):
        invalid = (
            f"extra.key: Invalid value: {json.dumps(path)}: Invalid path (regex used for validation is "
            "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
        )
    if invalid:
        return f"impersonating an invalid key in extra is not allowed: {invalid}"
    if key != key.lower():
        return f"impersonating a non-lowercase key in extra is not allowed: {json.dumps(key)}"
    if "" in values:
        return "impersonating the empty string value in extra is not allowed"
    return ""
