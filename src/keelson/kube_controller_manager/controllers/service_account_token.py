"""serviceaccount-token-controller: fills Secrets of type kubernetes.io/service-account-token, and removes stale ones.

Reads: serviceaccounts, such secrets. Writes: secrets (token, ca.crt, namespace; delete where the account is gone).
Such tokens do not expire; pods get bound tokens from the TokenRequest API instead.
"""

from __future__ import annotations

import base64
import hashlib

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

TYPE = "kubernetes.io/service-account-token"
_NAME = "kubernetes.io/service-account.name"
_UID = "kubernetes.io/service-account.uid"
_ISSUER = "kubernetes/serviceaccount"


class ServiceAccountTokenController:
    """One reconcile per secret."""

    name = "serviceaccount-token-controller"
    account = ""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._root_ca = context.settings.root_ca
        loaded = serialization.load_pem_private_key(context.settings.service_account_key, None)
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise TypeError("--service-account-private-key-file is neither an RSA nor an ECDSA key")
        self._key = loaded
        self._queue = WorkQueue("serviceaccount_tokens_service")
        self._accounts = context.informers.informer("serviceaccounts")
        self._secrets = context.informers.informer("secrets", field_selector=f"type={TYPE}")
        self._secrets.store.add_index("account", _account_of)
        self._secrets.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._accounts.add_handler(self._account_changed)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        for secret in self._secrets.store.by_index("account", meta.key(new or old or {})):
            self._queue.add(meta.key(secret))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, key: str) -> float | None:
        secret = self._secrets.store.get(key)
        if secret is None or meta.is_deleting(secret):
            return None
        accounts = _account_of(secret)
        account = await self._account(accounts[0]) if accounts else None
        annotated = meta.annotations(secret).get(_UID)
        if account is None or (annotated and annotated != meta.uid(account)):
            await self._drop(secret)
            return None
        data = dict(secret.get("data") or {})
        wanted = {"ca.crt": self._root_ca, "namespace": meta.namespace(secret)}
        if not data.get("token"):
            wanted["token"] = self._token(account, secret)
        fresh = {**data, **{name: base64.b64encode(text.encode()).decode() for name, text in wanted.items()}}
        if fresh == data and annotated:
            return None
        annotations = {**meta.annotations(secret), _UID: meta.uid(account)}
        changed = {**secret, "data": fresh, "metadata": {**secret["metadata"], "annotations": annotations}}
        await self._client.update("secrets", changed)
        return None

    async def _account(self, key: str) -> Object | None:
        found = self._accounts.store.get(key)
        if found is not None:
            return found
        namespace, name = meta.split_key(key)
        try:
            return await self._client.get("serviceaccounts", name, namespace=namespace)
        except errors.StatusError as error:
            if error.code == 404:
                return None
            raise

    async def _drop(self, secret: Object) -> None:
        try:
            await self._client.delete(
                "secrets", meta.name(secret), namespace=meta.namespace(secret), uid=meta.uid(secret)
            )
        except errors.StatusError as error:
            if error.code != 404:
                raise

    def _token(self, account: Object, secret: Object) -> str:
        namespace, name = meta.namespace(account), meta.name(account)
        claims = {
            "iss": _ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": meta.uid(account),
            "kubernetes.io/serviceaccount/secret.name": meta.name(secret),
        }
        algorithm = "RS256" if isinstance(self._key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, self._key, algorithm=algorithm, headers={"kid": key_id(self._key)})


def key_id(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """The `kid` under which the API server knows the key: the hash of its public half, as upstream derives it."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def _account_of(secret: Object) -> list[str]:
    name = meta.annotations(secret).get(_NAME)
    return [meta.key_of(meta.namespace(secret), name)] if name else []
