"""Bootstrap tokens: `ID.SECRET`, kept in Secrets of kube-system, for nodes that join.

Rules: "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime

from keelson.api import errors, meta
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from .tokens import Lookup, bearer

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_TYPE = "bootstrap.kubernetes.io/token"
_GROUP = "system:bootstrappers"
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """The authenticator of bootstrap tokens."""

    def __init__(self, lookup: Lookup, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._lookup = lookup
        self._now = now

    async def authenticate(self, request: Request) -> User | None:
        """The bootstrapper, None where the bearer token has another form."""
        return await self.read(bearer(request))

    async def read(self, token: str) -> User | None:
        """The bootstrapper of a token. Raises StatusError 401 where it is none that may be used."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        secret = await self._lookup("secrets", "kube-system", f"bootstrap-token-{parts[1]}")
        if secret is None or secret.get("type") != _TYPE or meta.is_deleting(secret):
            raise errors.unauthorized()
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        # Both are compared always, so that time tells nothing of which was wrong.
        same_id = hmac.compare_digest(data.get("token-id", b""), parts[1].encode())
        same_secret = hmac.compare_digest(data.get("token-secret", b""), parts[2].encode())
        if not (same_id and same_secret) or data.get("usage-bootstrap-authentication") != b"true":
            raise errors.unauthorized()
        if expiration := data.get("expiration", b"").decode():
            try:
                ends = meta.parse_time(expiration)
            except ValueError as error:
                raise errors.unauthorized() from error
            if ends <= self._now():
                raise errors.unauthorized()
        groups = [_GROUP]
        for group in filter(None, data.get("auth-extra-groups", b"").decode().split(",")):
            if not _EXTRA_GROUP.fullmatch(group.strip()):
                raise errors.unauthorized()
            groups.append(group.strip())
        return User(f"system:bootstrap:{parts[1]}", tuple(groups))
