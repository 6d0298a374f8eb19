"""Service-account tokens of the older kind: kept in a Secret, for no audience and without an end (KEP-2799).

Nothing makes them by itself any more, but a Secret of type kubernetes.io/service-account-token still asks the
controller manager for one. A token is good while its Secret holds it; the Secret is labelled with the day of its last
use, so that unused ones can be cleaned away, and the label `legacy-token-invalid-since` takes a token out of use.
"""

from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from .tokens import Lookup, PublicKey, algorithm, bearer

ISSUER = "kubernetes/serviceaccount"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
"""The ConfigMap of kube-system that says since when use is noted down."""

_CLAIM = "kubernetes.io/serviceaccount/"
_CLAIMS = tuple(_CLAIM + name for name in ("namespace", "secret.name", "service-account.name", "service-account.uid"))
_DAY = "%Y-%m-%d"

_LEGACY = metrics.counter("serviceaccount_legacy_tokens_total", "Cumulative legacy service account tokens used")
_MANUAL = metrics.counter(
    "serviceaccount_legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"
)
_AUTOMATIC = metrics.counter(
    "serviceaccount_legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"
)
_INVALID = metrics.counter(
    "serviceaccount_invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"
)

log = logging.getLogger(__name__)

Mark = Callable[[Object, str], Awaitable[None]]
"""Labels a Secret with the day of its last use."""


class LegacyTokens:
    """The authenticator; without `lookup` a signature is enough (--service-account-lookup=false)."""

    def __init__(
        self,
        keys: Iterable[PublicKey],
        lookup: Lookup | None,
        mark: Mark,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = list(keys)
        self._lookup = lookup
        self._mark = mark
        self._now = now

    async def authenticate(self, request: Request) -> User | None:
        """The account, None where the bearer token is none of this kind. Raises StatusError 401."""
        token = bearer(request)
        return await self.read(token) if token else None

    async def read(self, token: str) -> User | None:
        """The account of a token. Raises StatusError 401 where it is one that may not be used."""
        claims = self._claims(token)
        if claims is None:
            return None
        namespace, secret_name, name, uid = (str(claims.get(claim) or "") for claim in _CLAIMS)
        subject = f"system:serviceaccount:{namespace}:{name}"
        if not (namespace and secret_name and name and uid) or claims.get("sub") != subject:
            raise errors.unauthorized()
        if self._lookup is not None:
            secret = await self._lookup("secrets", namespace, secret_name)
            if secret is None or meta.is_deleting(secret) or not _holds(secret, token):
                raise errors.unauthorized()
            account = await self._lookup("serviceaccounts", namespace, name)
            if account is None or meta.is_deleting(account) or meta.uid(account) != uid:
                raise errors.unauthorized()
            await self._note(secret)
            if meta.labels(secret).get(INVALID_SINCE):
                _INVALID.inc()
                raise errors.unauthorized()
            automatic = any(each.get("name") == secret_name for each in account.get("secrets") or ())
            (_AUTOMATIC if automatic else _MANUAL).inc()
            _LEGACY.inc()
        return User(subject, ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"), uid)

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        if token.count(".") != 2:
            return None
        try:
            stated = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if stated.get("iss") != ISSUER:
            return None
        for key in self._keys:
            # The algorithm is the key's, never the token's own claim.
            try:
                found: Mapping[str, Any] = jwt.decode(
                    token, key, algorithms=[algorithm(key)], options={"verify_aud": False, "verify_iat": False}
                )
            except jwt.PyJWTError:
                continue
            return found
        raise errors.unauthorized()

    async def _note(self, secret: Object) -> None:
        """Label the Secret, once a day; tomorrow's date is another server's, whose clock is ahead."""
        today = self._now()
        if meta.labels(secret).get(LAST_USED) in (today.strftime(_DAY), (today + timedelta(days=1)).strftime(_DAY)):
            return
        try:
            await self._mark(secret, today.strftime(_DAY))
        except errors.StatusError as error:
            # The token is good all the same.
            log.warning("the Secret %s can't be labelled as used: %s", meta.key(secret), error)


def _holds(secret: Object, token: str) -> bool:
    stored = base64.b64decode((secret.get("data") or {}).get("token") or "")
    return hmac.compare_digest(stored, token.encode())
