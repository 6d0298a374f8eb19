"""Service-account tokens: JSON Web Tokens (RFC 7519) that are bound to an account and mostly to a pod.

A token says who it is for (audience), until when, and whose existence it depends on; all of it is checked at every
request, the signature once. Claims are those of KEP-1205, key ids those of upstream (base64url of the key's SHA-256).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from .credentials import Credential, Find, Ground, RefusedError

CLAIM = "kubernetes.io"
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
_REMEMBERED = 10_000
# A pod's token outlives the beginning of its deletion by its grace and this much (upstream's 60 s).
_DELETION_LEEWAY = 60.0
_EXTRA = "authentication.kubernetes.io/"
_BOUND = (("serviceaccount", "serviceaccounts"), ("pod", "pods"), ("secret", "secrets"), ("node", "nodes"))

_STALE = metrics.counter("serviceaccount_stale_tokens_total", "Cumulative stale projected service account tokens used")
_VALID = metrics.counter("serviceaccount_valid_tokens_total", "Cumulative valid projected service account tokens used")

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
# The object of (resource, namespace, name) or None; may look twice where the first look was into a cache.
Lookup = Callable[[str, str, str], Awaitable["Object | None"]]


def key_id(key: PublicKey) -> str:
    """The `kid` of a key."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).rstrip(b"=").decode()


def algorithm(key: PublicKey) -> str:
    """The algorithm that a key signs by (RFC 7518)."""
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else _CURVES[key.curve.name]


def load_public_keys(path: str) -> list[PublicKey]:
    """Every key of a PEM file; a private key stands for its public half. ValueError where it holds none."""
    content = Path(path).read_bytes()
    found: list[PublicKey] = []
    for block in content.split(b"-----BEGIN ")[1:]:
        pem = b"-----BEGIN " + block
        key: Any
        if b"PRIVATE KEY" in block.partition(b"\n")[0]:
            key = serialization.load_pem_private_key(pem, None).public_key()
        elif b"PARAMETERS" in block.partition(b"\n")[0]:
            continue
        else:
            key = serialization.load_pem_public_key(pem)
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise ValueError(f"{path}: only RSA and ECDSA keys sign tokens")
        found.append(key)
    if not found:
        raise ValueError(f"{path}: holds no key in PEM")
    return found


class Account(NamedTuple):
    """What a token speaks for."""

    namespace: str
    name: str
    uid: str


class Issuer:
    """Signs tokens."""

    def __init__(self, issuer: str, key_file: str) -> None:
        self.issuer = issuer
        key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file}: only RSA and ECDSA keys sign tokens")
        self._key = key
        self._kid = key_id(key.public_key())
        self._algorithm = algorithm(key.public_key())

    def issue(
        self,
        account: Account,
        audiences: Sequence[str],
        *,
        now: float,
        seconds: int,
        token_id: str,
        bound: Mapping[str, Mapping[str, str]],
        warn_after: float = 0,
    ) -> str:
        """A token for `seconds` from `now`; `bound` maps "pod", "secret" or "node" to its name and uid."""
        own: Object = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
            **{kind: dict(reference) for kind, reference in bound.items()},
        }
        if warn_after:
            own["warnafter"] = int(warn_after)
        claims = {
            "aud": list(audiences),
            "exp": int(now) + seconds,
            "iat": int(now),
            "nbf": int(now),
            "iss": self.issuer,
            "jti": token_id,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
            CLAIM: own,
        }
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers={"kid": self._kid, "typ": None})


class Tokens:
    """The authenticator of service-account tokens."""

    def __init__(
        self,
        issuers: Sequence[str],
        keys: Sequence[PublicKey],
        audiences: Sequence[str],
        lookup: Lookup | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        find: Find | None = None,
    ) -> None:
        """`find` is what verdicts are remembered by; without it, none is."""
        self.issuers = tuple(issuers)
        self.keys = {key_id(key): key for key in keys}
        self.audiences = tuple(audiences)
        self._lookup = lookup
        self._now = now
        self._find = find
        # Claims of tokens whose signature was verified lately.
        self._verified: Recent[str, Mapping[str, Any]] = Recent(_REMEMBERED)

    async def authenticate(self, request: Request) -> User | None:
        """The account of the request's bearer token, None where it has none of ours."""
        token = bearer(request)
        return None if not token else (await self.read(token, self.audiences))[0]

    def credential(self, request: Request, user: User) -> Credential | None:
        """The verdict as long as the token lasts and the objects it is bound to are the very ones that were looked at.

        They are looked at once more, in one piece: while the verdict was made they may have changed.
        """
        header = request.headers.get("authorization", "")
        claims = self._verified.get(bearer(request)) if header else None
        if claims is None or self._find is None:
            return None
        ends = float(claims.get("exp", 0))
        grounds: list[Ground] = []
        for kind, resource, name, uid in self._bound(claims):
            if self._lookup is None:
                break
            namespace = "" if kind == "node" else claims[CLAIM]["namespace"]
            ground = self._find(resource, namespace, name)
            if ground is None:
                return None
            found = ground.item.object("", "")
            if meta.uid(found) != uid:
                return None
            if kind != "serviceaccount" and (deleted := str(meta.metadata(found).get("deletionTimestamp") or "")):
                ends = min(ends, meta.parse_time(deleted).timestamp() + _DELETION_LEEWAY)
            grounds.append(ground)
        return Credential(user, header, begins=float(claims.get("nbf", 0)) - 1, ends=ends, grounds=grounds)

    def _bound(self, claims: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
        """(kind, resource, name, uid) of every object that must exist for a token to hold."""
        own = claims[CLAIM]
        for kind, resource in _BOUND:
            reference = own.get(kind)
            if isinstance(reference, dict) and not (kind == "node" and "pod" in own):
                yield kind, resource, reference.get("name") or "", reference.get("uid") or ""

    async def read(self, token: str, audiences: Sequence[str]) -> tuple[User | None, list[str]]:
        """(the account, those of `audiences` that the token is for); (None, []) where it is none of our tokens.

        Raises StatusError 401 where it is one but may not be used.
        """
        claims = self._claims(token)
        if claims is None:
            return None, []
        now = self._now().timestamp()
        if now >= claims.get("exp", 0):
            raise RefusedError("service account token has expired")
        if now < claims.get("nbf", 0) - 1:
            raise RefusedError("service account token is not valid yet")
        stated = claims.get("aud") or []
        stated = [stated] if isinstance(stated, str) else stated
        common = [each for each in audiences if each in stated]
        if audiences and not common:
            raise RefusedError(
                f"token audiences {_quoted(stated)} is invalid for the target audiences {_quoted(audiences)}"
            )
        user = await self._user(claims, now)
        if after := claims[CLAIM].get("warnafter"):
            (_STALE if now > after else _VALID).inc()
        return user, common

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        known = self._verified.get(token)
        if known is not None:
            return known
        if token.count(".") != 2:
            return None
        try:
            header = jwt.get_unverified_header(token)
            stated = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if stated.get("iss") not in self.issuers:
            return None
        candidates = [self.keys[header["kid"]]] if header.get("kid") in self.keys else list(self.keys.values())
        for key in candidates:
            # The algorithm is the key's, never the token's own claim.
            try:
                claims: Mapping[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm(key)],
                    options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
                )
            except jwt.PyJWTError:
                continue
            self._verified[token] = claims
            return claims
        raise errors.unauthorized()

    async def _user(self, claims: Mapping[str, Any], now: float) -> User:
        own = claims.get(CLAIM)
        if not isinstance(own, dict):
            raise errors.unauthorized()
        namespace, account = own.get("namespace") or "", own.get("serviceaccount") or {}
        name, uid = account.get("name") or "", account.get("uid") or ""
        if not namespace or not name or claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise errors.unauthorized()
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[f"{_EXTRA}credential-id"] = (f"JTI={claims['jti']}",)
        if self._lookup is not None:
            found = await self._lookup("serviceaccounts", namespace, name)
            if found is None or meta.uid(found) != uid:
                raise errors.unauthorized()
        for kind, resource in (("pod", "pods"), ("secret", "secrets"), ("node", "nodes")):
            bound = own.get(kind)
            if not isinstance(bound, dict):
                continue
            extra[f"{_EXTRA}{kind}-name"] = (bound.get("name") or "",)
            extra[f"{_EXTRA}{kind}-uid"] = (bound.get("uid") or "",)
            if self._lookup is None or (kind == "node" and "pod" in own):
                continue
            found = await self._lookup(resource, "" if kind == "node" else namespace, bound.get("name") or "")
            if found is None or meta.uid(found) != bound.get("uid") or self._gone(found, now):
                raise errors.unauthorized()
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return User(str(claims["sub"]), groups, uid, extra)

    def _gone(self, bound: Object, now: float) -> bool:
        deleted = str(meta.metadata(bound).get("deletionTimestamp") or "")
        return bool(deleted) and meta.parse_time(deleted).timestamp() + _DELETION_LEEWAY < now

    def key_set(self) -> Object:
        """The JSON Web Key Set (RFC 7517) that verifies tokens of ours."""
        shown = []
        for kid, key in self.keys.items():
            made = (
                jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
                if isinstance(key, rsa.RSAPublicKey)
                else jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
            )
            made.pop("key_ops", None)
            shown.append({"use": "sig", "kid": kid, "alg": algorithm(key), **made})
        return {"keys": shown}

    def configuration(self, key_set_uri: str) -> Object:
        """The OpenID provider configuration (OIDC Discovery 1.0)."""
        return {
            "issuer": self.issuers[0],
            "jwks_uri": key_set_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({algorithm(key) for key in self.keys.values()}),
        }


def _quoted(texts: Sequence[str]) -> str:
    return f"[{' '.join(orjson.dumps(each).decode() for each in texts)}]"


def bearer(request: Request) -> str:
    """The request's bearer token (RFC 6750), "" where there is none; also as a WebSocket client can send it."""
    scheme, *rest = request.headers.get("authorization", "").strip().split(" ", 2)
    if scheme.lower() == "bearer" and rest:
        return rest[0]
    prefix = "base64url.bearer.authorization.k8s.io."
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        encoded = protocol.strip()
        if encoded.startswith(prefix):
            encoded = encoded[len(prefix) :]
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError:
                return ""
    return ""
