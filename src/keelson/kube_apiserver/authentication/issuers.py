"""Tokens of OpenID providers: their keys by discovery, their signatures, their audiences ("OpenID Connect Tokens").

Keys are fetched when the authenticator starts and again when a token names one that is not known, which is how a
provider's rotation is noticed; an unknown key makes one fetch at a time and not one a request.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jwt
import orjson

from keelson.api import errors
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from . import claims as claims_
from .claims import ClaimsError
from .configurations import Configuration, Issuer
from .credentials import RefusedError
from .tokens import bearer

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0
_FETCH_SECONDS = 30.0
_MOST_BYTES = 1 << 20
# A token that was accepted is believed for so long without another look (upstream's cache of tokens).
_BELIEVED_SECONDS = 10.0
_REMEMBERED = 10_000
# go-oidc allows clocks to differ by this much where a token is not valid yet.
_LEEWAY = 300
# A token that names an unknown key makes the keys be fetched at most so often.
_REFETCH_SECONDS = 1.0


class Provider:
    """One issuer and its keys."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._context = ssl.create_default_context(cadata=issuer.authority or None)
        self._key_set = ""
        self._keys: dict[str, Any] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._fetched = -_REFETCH_SECONDS
        # Why tokens can't be verified yet, None where they can.
        self.trouble: str | None = "not initialized"

    async def run(self) -> None:
        """Learn where the keys are, and fetch them; ends when that succeeded."""
        while True:
            try:
                await self._discover()
            except (OSError, ValueError, errors.StatusError, TimeoutError) as error:
                self.trouble = str(error) or type(error).__name__
                log.warning("oidc authenticator: issuer %s: %s", self.issuer.url, self.trouble)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.trouble = None
                return

    async def _get(self, url: str) -> Mapping[str, Any]:
        # The client takes memory that few servers need.
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                async with session.get(url, allow_redirects=False) as answer:
                    body = await _limited(answer)
            except aiohttp.ClientError as error:
                raise ValueError(f"{url}: {error}") from error
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{url}: the answer is no JSON") from error
        if not isinstance(document, dict):
            raise ValueError(f"{url}: the answer is no object")
        return document

    async def _discover(self) -> None:
        issuer = self.issuer
        url = issuer.discovery_url or issuer.url.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._get(url)
        if document.get("issuer") != issuer.url:
            raise ValueError(f"oidc: issuer did not match the issuer returned by provider: {document.get('issuer')!r}")
        key_set = document.get("jwks_uri")
        if not isinstance(key_set, str) or not key_set.startswith("https://"):
            raise ValueError("provider did not return JWKS URL")
        self._key_set = key_set
        await self._fetch()

    async def _fetch(self) -> None:
        document = await self._get(self._key_set)
        found: dict[str, Any] = {}
        for entry in document.get("keys") or ():
            try:
                key = jwt.PyJWK.from_dict(entry)
            except (jwt.PyJWTError, TypeError, ValueError, KeyError):
                # Sets may hold keys of kinds that nobody here can use.
                continue
            if entry.get("use", "sig") == "sig":
                found[str(entry.get("kid") or "")] = key
        self._keys = found
        self._fetched = time.monotonic()

    async def _refetch(self) -> None:
        """The keys anew, once for all who miss one at the same time."""
        if time.monotonic() - self._fetched < _REFETCH_SECONDS:
            return
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        try:
            await asyncio.shield(self._fetching)
        except (OSError, ValueError, errors.StatusError, TimeoutError) as error:
            raise RefusedError(f"oidc: verify token: failed to verify signature: fetching keys {error}") from error

    async def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that this issuer signed for one of the audiences. Raises RefusedError."""
        if self.trouble is not None and not self._keys:
            raise RefusedError(f"oidc: authenticator for issuer {self.issuer.url} is not initialized: {self.trouble}")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise RefusedError(f"oidc: verify token: {error}") from error
        algorithm, kid = str(header.get("alg")), str(header.get("kid") or "")
        if algorithm not in self.issuer.algorithms:
            raise RefusedError(f"oidc: verify token: unexpected signature algorithm {algorithm!r}")
        keys = self._candidates(kid)
        if not keys:
            await self._refetch()
            keys = self._candidates(kid)
        why = "no key of the issuer verifies it"
        for key in keys:
            try:
                found: Mapping[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=[algorithm],
                    issuer=self.issuer.url,
                    audience=list(self.issuer.audiences),
                    options={"require": ["exp", "iss", "aud"], "verify_iat": False, "verify_nbf": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, TypeError, ValueError) as error:
                why = str(error)
                break
            if isinstance(found.get("nbf"), int | float) and found["nbf"] > time.time() + _LEEWAY:
                why = "the token is not valid yet"
                break
            return found
        raise RefusedError(f"oidc: verify token: {why}")

    def _candidates(self, kid: str) -> Sequence[Any]:
        if kid:
            return [self._keys[kid]] if kid in self._keys else []
        return list(self._keys.values())


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise ValueError(f"{answer.url}: the answer is too long")
    if answer.status != 200:
        raise ValueError(f"{answer.url}: {answer.status} {body[:200].decode(errors='replace')}")
    return bytes(body)


class Issuers:
    """The authenticator of tokens of all configured issuers, which may be exchanged while it runs."""

    def __init__(self, configuration: Configuration) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._believed: Recent[str, tuple[float, User]] = Recent(_REMEMBERED, _BELIEVED_SECONDS)
        self._providers = {each.url: Provider(each) for each in configuration.issuers}

    def start(self) -> None:
        """Begin to fetch keys."""
        self._tasks = [asyncio.create_task(each.run()) for each in self._providers.values()]

    def stop(self) -> None:
        """Fetch no more."""
        for task in self._tasks:
            task.cancel()

    def exchange(self, configuration: Configuration) -> None:
        """Take on another configuration: tokens are judged by it from now on."""
        self.stop()
        self._providers = {each.url: Provider(each) for each in configuration.issuers}
        self._believed.clear()
        self.start()

    async def authenticate(self, request: Request) -> User | None:
        """The user of the bearer token, None where none of these issuers states to have signed it."""
        token = bearer(request)
        if not token or not self._providers:
            return None
        return await self._user(token)

    async def read(self, token: str) -> User | None:
        """For reviews: the user of a token."""
        return await self._user(token)

    async def _user(self, token: str) -> User | None:
        now = time.time()
        believed = self._believed.get(token)
        if believed is not None and now < believed[0]:
            return believed[1]
        if token.count(".") != 2:
            return None
        try:
            stated = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            return None
        provider = self._providers.get(stated) if isinstance(stated, str) else None
        if provider is None:
            return None
        try:
            claims = await provider.claims(token)
            user = claims_.user_of(provider.issuer.mappings, claims)
        except ClaimsError as error:
            raise RefusedError(f"oidc: {error}") from error
        self._believed[token] = (min(now + _BELIEVED_SECONDS, float(claims["exp"])), user)
        return user
