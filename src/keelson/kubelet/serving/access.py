"""Who asks, and whether they may: client certificates, tokens by TokenReview, permissions by SubjectAccessReview.

Rules: "Kubelet authentication/authorization" (which request is which verb on which subresource of nodes), KEP-2862
(fine-grained subresources).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from keelson.api import errors
from keelson.api.meta import Object

_CACHED = 4096


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Reviews(Protocol):
    """The API's two reviews."""

    async def create(self, resource: str, obj: Object) -> Object:
        """The review with its status."""
        ...


class _Cache:
    """Answers with an end; the oldest go first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: OrderedDict[Any, tuple[float, Any]] = OrderedDict()

    def get(self, key: Any) -> Any:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._monotonic() < entry[0] else None

    def put(self, key: Any, value: Any, seconds: float) -> None:
        self._entries[key] = (self._monotonic() + seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > _CACHED:
            self._entries.popitem(last=False)


# First segment of the path to the subresource of `nodes`; what is not here is "proxy".
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint"}
# These may also be allowed by nodes/proxy, which once covered them.
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def attributes(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """(verb, subresources of `nodes` any one of which allows it)."""
    first = path.lstrip("/").partition("/")[0]
    verb = _VERBS.get(method, method.lower())
    if first in _FINE:
        return verb, (_FINE[first], "proxy")
    return verb, (_SUBRESOURCES.get(first, "proxy"),)


class Access:
    """Answers by raising: 401 where nobody is known, 403 where somebody may not."""

    def __init__(
        self,
        reviews: Reviews,
        node: str,
        *,
        monotonic: Callable[[], float],
        tokens: bool = True,
        authorize: bool = True,
        token_ttl: float = 120.0,
        authorized_ttl: float = 300.0,
        unauthorized_ttl: float = 30.0,
    ) -> None:
        self._reviews = reviews
        self._node = node
        self._tokens = tokens
        self._authorize = authorize
        self._token_ttl = token_ttl
        self._authorized_ttl = authorized_ttl
        self._unauthorized_ttl = unauthorized_ttl
        self._users = _Cache(monotonic)
        self._verdicts = _Cache(monotonic)

    async def check(self, request: web.Request) -> User:
        """The user, who may do this. Raises HTTPUnauthorized, HTTPForbidden, HTTPServiceUnavailable."""
        try:
            user = _certified(request) or await self._bearer(request)
            if user is None:
                raise web.HTTPUnauthorized(text="Unauthorized")
            if self._authorize:
                await self._permit(user, request)
        except errors.StatusError as error:
            raise web.HTTPServiceUnavailable(text=f"the API server can't be asked: {error.message}") from error
        return user

    async def _bearer(self, request: web.Request) -> User | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not self._tokens or scheme.lower() != "bearer" or not token.strip():
            return None
        key = hashlib.sha256(token.encode()).digest()
        known: User | None = self._users.get(key)
        if known is not None:
            return known
        answer = await self._reviews.create(
            "tokenreviews.authentication.k8s.io",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "metadata": {},
                "spec": {"token": token.strip()},
            },
        )
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        found = status.get("user") or {}
        extra = tuple(sorted((k, tuple(v)) for k, v in (found.get("extra") or {}).items()))
        user = User(found.get("username", ""), tuple(found.get("groups") or ()), found.get("uid", ""), extra)
        self._users.put(key, user, self._token_ttl)
        return user

    async def _permit(self, user: User, request: web.Request) -> None:
        verb, subresources = attributes(request.method, request.path)
        for subresource in subresources:
            if await self._may(user, verb, subresource):
                return
        raise web.HTTPForbidden(
            text=f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(subresources)}])"
        )

    async def _may(self, user: User, verb: str, subresource: str) -> bool:
        key = (user, verb, subresource)
        known: bool | None = self._verdicts.get(key)
        if known is not None:
            return known
        spec: Object = {
            "user": user.name,
            "groups": list(user.groups),
            "resourceAttributes": {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node,
            },
        }
        if user.uid:
            spec["uid"] = user.uid
        if user.extra:
            spec["extra"] = {name: list(values) for name, values in user.extra}
        answer = await self._reviews.create(
            "subjectaccessreviews.authorization.k8s.io",
            {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec},
        )
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._verdicts.put(key, allowed, self._authorized_ttl if allowed else self._unauthorized_ttl)
        return allowed


def _certified(request: web.Request) -> User | None:
    """The user that a verified client certificate names: its common name, its organisations as groups."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return None
    parts = [part for each in certificate.get("subject", ()) for part in each]
    name = next((value for key, value in parts if key == "commonName"), "")
    groups = tuple(value for key, value in parts if key == "organizationName")
    return User(name, (*groups, "system:authenticated")) if name else None
