"""The HTTPS client of webhooks that API objects name by a `clientConfig` (admission, conversion of custom resources).

A `service` is reached by the resolver's address and verified under `<name>.<namespace>.svc`; a `url` by its name.
Redirects are errors (an answer must not send the API server's requests elsewhere, CVE-2022-3172), proxies of the
environment are not used, connections are kept and used again. HTTP/1.1 alone: one HTTP/2 connection would pin all calls
to one backend of a service.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import ssl
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from keelson.api import errors
from keelson.api.meta import Object
from keelson.client.kubeconfigs import ClientConfig
from keelson.kube_apiserver.services.resolvers import ResolveError, Resolver
from keelson.kube_apiserver.tracing import spans

from .credentials import ANONYMOUS, Credentials

if TYPE_CHECKING:
    import aiohttp

# A patch in an answer may replace the largest object there is, in base64, with room for what stands around it.
_MOST_ANSWER_BYTES = 8 * 1024 * 1024
_IDLE_SECONDS = 90.0
_MOST_CONTEXTS = 256

_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
# OpenSSL's verification results in the words of upstream's messages.
_VERIFICATION = {
    10: "x509: certificate has expired or is not yet valid",
    9: "x509: certificate has expired or is not yet valid",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
}
# What a client makes of an answer that says no more than its status code.
_STATUS_MESSAGES = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "the server does not allow access to the requested resource",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallError(Exception):
    """A webhook that could not be asked; `code` is the HTTP status that stands for it in metrics."""

    def __init__(self, message: str, code: int = 503) -> None:
        super().__init__(message)
        self.code = code


class _Address(NamedTuple):
    """Where a call goes: `url` is connected to, `shown` is what messages and the Host header say."""

    url: str
    shown: str
    host: str
    server_name: str | None


class Clients:
    """Calls of webhooks. Nothing is opened, or even imported, before the first call."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, ClientConfig | None], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        config: Object,
        body: bytes,
        seconds: float,
        *,
        tell_timeout: bool = False,
        credentials: Credentials = ANONYMOUS,
    ) -> bytes:
        """The answer's body to a POST of JSON, within `seconds` from connecting to its last byte.

        `config` is a WebhookClientConfig; with `tell_timeout` the webhook is told how long it is waited for, and
        `credentials` say who the API server is to it. Raises CallError with upstream's words.
        """
        query = f"?timeout={math.ceil(seconds)}s" if tell_timeout else ""
        shown = _shown(config) + query
        try:
            async with asyncio.timeout(seconds):
                return await self._post(config, body, query, credentials)
        except TimeoutError as error:
            raise CallError(f'Post "{shown}": context deadline exceeded') from error
        except (ResolveError, ssl.SSLError, OSError, errors.StatusError, ValueError) as error:
            raise CallError(f'Post "{shown}": {_reason(error)}') from error

    async def _post(self, config: Object, body: bytes, query: str, credentials: Credentials) -> bytes:
        address = await self._address(config, query)
        identity = credentials.of(address.host)
        context = self._context(config.get("caBundle") or "", identity)
        if self._session is None:
            self._session = _session()
        headers = {"Host": address.host, "Content-Type": "application/json", "Accept": "application/json, */*"}
        if identity is not None and (token := identity.bearer()):
            headers["Authorization"] = f"Bearer {token}"
        about = {"http.request.method": "POST", "url.full": address.shown, "server.address": address.host}
        with spans.child("HTTP POST", about, spans.CLIENT):
            return await self._sent(address, body, {**headers, **spans.headers()}, context)

    async def _sent(self, address: _Address, body: bytes, headers: Mapping[str, str], context: ssl.SSLContext) -> bytes:
        import aiohttp

        assert self._session is not None
        trace = SimpleNamespace(reused=False)
        while True:
            try:
                async with self._session.post(
                    address.url,
                    data=body,
                    headers=headers,
                    ssl=context,
                    server_hostname=address.server_name,
                    allow_redirects=False,
                    trace_request_ctx=trace,
                ) as answer:
                    return await _content(answer)
            except aiohttp.ServerDisconnectedError as error:
                # The webhook closed an idle connection just as it was used again: nobody has read the request.
                if trace.reused:
                    trace.reused = False
                    continue
                raise CallError(f'Post "{address.shown}": EOF') from error
            except aiohttp.ClientConnectorCertificateError as error:
                raise CallError(f'Post "{address.shown}": {_reason(error.certificate_error)}') from error
            except aiohttp.ClientConnectorError as error:
                raise CallError(f'Post "{address.shown}": {_reason(error.os_error, address.url)}') from error
            except aiohttp.ClientError as error:
                raise CallError(f'Post "{address.shown}": {error}') from error

    async def _address(self, config: Object, query: str) -> _Address:
        shown = _shown(config) + query
        service = config.get("service")
        if service is None:
            return _Address(shown, shown, urlsplit(shown).netloc, None)
        name = f"{service['name']}.{service['namespace']}.svc"
        port = int(service.get("port") or 443)
        place = await self._resolver.resolve(service["namespace"], service["name"], port)
        host = f"[{place.host}]" if ":" in place.host else place.host
        url = f"https://{host}:{place.port}{_path(service.get('path'))}{query}"
        return _Address(url, shown, f"{name}:{port}", name)

    def _context(self, bundle: str, identity: ClientConfig | None) -> ssl.SSLContext:
        """TLS that trusts the bundle, or the host's authorities where there is none. Raises SSLError, ValueError."""
        key = bundle, identity
        context = self._contexts.get(key)
        if context is None:
            try:
                data = base64.b64decode(bundle, validate=True).decode("ascii") if bundle else None
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from error
            context = ssl.create_default_context(cadata=data)
            # Go verifies chains without RFC 5280's optional marks, and CAs made for it lack them.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            context.hostname_checks_common_name = False
            if len(self._contexts) >= _MOST_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            if identity is not None:
                identity.identify(context)
            self._contexts[key] = context
        return context


def _session() -> aiohttp.ClientSession:
    import aiohttp

    trace = aiohttp.TraceConfig()

    async def reused(_session: Any, context: SimpleNamespace, _parameters: Any) -> None:
        context.trace_request_ctx.reused = True

    trace.on_connection_reuseconn.append(reused)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, force_close=False),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=True,
        trace_configs=[trace],
    )


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_chunked(64 * 1024):
        size += len(part)
        if size > _MOST_ANSWER_BYTES:
            raise CallError(f"the answer is larger than {_MOST_ANSWER_BYTES} bytes")
        parts.append(part)
    body = b"".join(parts)
    code = answer.status
    if 200 <= code <= 206:
        return body
    if 300 <= code < 400:
        raise CallError(f"the server answered with a redirect ({code}), which is not followed", code)
    if code in _STATUS_MESSAGES:
        raise CallError(_STATUS_MESSAGES[code], code)
    if code >= 500:
        text = body[:2048].decode("utf-8", "replace").strip() or "unknown"
        raise CallError(f'an error on the server ("{text}") has prevented the request from succeeding', code)
    raise CallError(f"the server responded with the status code {code} but did not return more information", code)


def _path(path: str | None) -> str:
    return "/" + (path or "").lstrip("/")


def _shown(config: Object) -> str:
    service = config.get("service")
    if service is None:
        parts = urlsplit(str(config.get("url") or ""))
        return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}"
    name, port = f"{service['name']}.{service['namespace']}.svc", int(service.get("port") or 443)
    return f"https://{name}:{port}{_path(service.get('path'))}"


def _reason(error: BaseException, url: str = "") -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _VERIFICATION.get(error.verify_code) or f"x509: {error.verify_message}"
        return f"tls: failed to verify certificate: {why}"
    if isinstance(error, errors.StatusError):
        return error.message
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if url:
        where = urlsplit(url)
        return f"dial tcp {where.hostname}:{where.port or 443}: connect: {text.lower()}"
    return text
