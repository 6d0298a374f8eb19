"""bootstrap-signer-controller and token-cleaner-controller: what nodes that join trust, and for how long.

Reads: Secrets of type bootstrap.kubernetes.io/token in kube-system, kube-public/cluster-info. Writes: the signatures in
cluster-info; deletes tokens that are over. Off unless --controllers names them, as upstream's. Rules: Kubernetes
documentation, "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.informers import Informer
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

TYPE = "bootstrap.kubernetes.io/token"
INFO = "cluster-info"
_SECRET_PREFIX = "bootstrap-token-"  # noqa: S105 - a name's beginning
_SIGNATURE_PREFIX = "jws-kubeconfig-"
_SIGNED = "kubeconfig"


def text_of(secret: Object, key: str) -> str:
    """One value of a Secret, "" where it is absent or no text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "").decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def expiration_of(secret: Object) -> datetime | None:
    """When the token is over, None where never; long ago where nobody can tell."""
    text = text_of(secret, "expiration")
    if not text:
        return None
    try:
        return meta.parse_time(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def signature(content: str, token_id: str, token_secret: str) -> str:
    """The detached JWS (RFC 7515, appendix F) by which who knows the token knows the content."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = encoded(orjson.dumps({"alg": "HS256", "kid": token_id}))
    body = f"{header}.{encoded(content.encode())}"
    return f"{header}..{encoded(hmac.digest(token_secret.encode(), body.encode(), hashlib.sha256))}"


def signatures(content: str, secrets: Iterable[Object], now: datetime) -> dict[str, str]:
    """The signature of each token that may sign, by its key in cluster-info."""
    found = {}
    for secret in secrets:
        token_id, token_secret = text_of(secret, "token-id"), text_of(secret, "token-secret")
        if not token_id or not token_secret or meta.name(secret) != f"{_SECRET_PREFIX}{token_id}":
            continue
        ends = expiration_of(secret)
        if text_of(secret, "usage-bootstrap-signing") == "true" and (ends is None or ends > now):
            found[f"{_SIGNATURE_PREFIX}{token_id}"] = signature(content, token_id, token_secret)
    return found


def _tokens(context: Context) -> Informer:
    return context.informers.informer("secrets", namespace="kube-system", field_selector=f"type={TYPE}")


class BootstrapSignerController:
    """One reconcile for all tokens together: they sign one object."""

    name = "bootstrap-signer-controller"
    account = "bootstrap-signer"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("bootstrap_signer_queue")
        self._tokens = _tokens(context)
        self._infos = context.informers.informer(
            "configmaps", namespace="kube-public", field_selector=f"metadata.name={INFO}"
        )
        for informer in (self._tokens, self._infos):
            informer.add_handler(lambda _old, _new: self._queue.add(INFO))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, _key: str) -> float | None:
        info = self._infos.store.get(f"kube-public/{INFO}")
        data = (info or {}).get("data") or {}
        if info is None or _SIGNED not in data:
            return None
        rest = {key: text for key, text in data.items() if not key.startswith(_SIGNATURE_PREFIX)}
        wanted = rest | signatures(data[_SIGNED], self._tokens.store, datetime.now(UTC))
        if wanted != data:
            try:
                await self._client.update("configmaps", {**info, "data": wanted})
            except errors.StatusError as error:
                if error.code != 404:
                    raise
        return None


class TokenCleanerController:
    """One reconcile per token: it is deleted when it is over."""

    name = "token-cleaner-controller"
    account = "token-cleaner"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("token_cleaner")
        self._tokens = _tokens(context)
        self._tokens.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        secret = self._tokens.store.get(key)
        ends = expiration_of(secret) if secret is not None else None
        if secret is None or ends is None:
            return None
        left = (ends - datetime.now(UTC)).total_seconds()
        if left > 0:
            return left
        try:
            await self._client.delete("secrets", meta.name(secret), namespace="kube-system", uid=meta.uid(secret))
        except errors.StatusError as error:
            if error.code not in {404, 409}:
                raise
        return None
