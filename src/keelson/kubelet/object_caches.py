"""ConfigMaps, Secrets and volume claims that pods refer to, and the service account tokens made for them.

Each object is fetched by name when a pod needs it and remembered for a while (upstream's change detection strategy
"Cache"): the node may read only what its pods refer to, and it holds no more than that in memory.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.rest import Client

# How old an object may be that a running pod's volumes are refreshed from; a new pod gets none older than itself.
_LIFETIME = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class _Entry:
    fetched: datetime
    object: Object | None


class ObjectCache:
    """Objects by name. `None` as an answer is a fact too: the server said that there is no such object."""

    def __init__(self, client: Client, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def get(
        self, resource: str, namespace: str, name: str, *, not_before: datetime | None = None
    ) -> Object | None:
        """The object, None where there is none; one fetched before `not_before` is fetched anew. Raises StatusError."""
        key = (resource, namespace, name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            entry = self._entries.get(key)
            if entry is not None and entry.object is not None:
                oldest = self._now() - _LIFETIME if not_before is None else max(not_before, self._now() - _LIFETIME)
                if entry.fetched >= oldest:
                    return entry.object
            started = self._now()
            found: Object | None
            try:
                found = await self._client.get(resource, name, namespace=namespace)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
                found = None
            self._entries[key] = _Entry(started, found)
            return found

    async def many(
        self, resource: str, namespace: str, names: Iterable[str], *, not_before: datetime | None = None
    ) -> dict[str, Object | None]:
        """`get` of several names."""
        return {name: await self.get(resource, namespace, name, not_before=not_before) for name in sorted(names)}

    def prune(self) -> None:
        """Drop what is too old to be given out."""
        limit = self._now() - _LIFETIME
        self._entries = {key: entry for key, entry in self._entries.items() if entry.fetched >= limit}
        self._locks = {key: lock for key, lock in self._locks.items() if key in self._entries or lock.locked()}


def secret_content(found: Object | None) -> dict[str, bytes] | None:
    """A Secret's data, decoded; None for None."""
    if found is None:
        return None
    return {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}


@dataclass(frozen=True, slots=True)
class _Token:
    text: bytes
    issued: datetime
    expires: datetime


class TokenCache:
    """Tokens of pods' service accounts (TokenRequest), bound to the pod and renewed at 80 % of their life or a day."""

    def __init__(self, client: Client, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._tokens: dict[tuple[str, str, int], _Token] = {}

    async def get(self, pod: Object, audience: str, seconds: int) -> bytes:
        """A token that is still good for a while. Raises StatusError where none is to be had."""
        key = (meta.uid(pod), audience, seconds)
        now = self._now()
        token = self._tokens.get(key)
        if token is not None and not _due(token, now):
            return token.text
        try:
            token = await self._request(pod, audience, seconds)
        except errors.StatusError:
            # The old one is better than none for as long as it lasts.
            if token is None or now >= token.expires:
                raise
            return token.text
        self._tokens[key] = token
        return token.text

    async def _request(self, pod: Object, audience: str, seconds: int) -> _Token:
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta.name(pod),
                    "uid": meta.uid(pod),
                },
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        issued = self._now()
        answer = await self._client.create(
            "serviceaccounts", request, namespace=meta.namespace(pod), name=account, subresource="token"
        )
        status = answer["status"]
        return _Token(status["token"].encode(), issued, meta.parse_time(status["expirationTimestamp"]))

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._tokens = {key: token for key, token in self._tokens.items() if key[0] != uid}


def _due(token: _Token, now: datetime) -> bool:
    life = token.expires - token.issued
    return now >= token.issued + min(life * 0.8, timedelta(hours=24))
