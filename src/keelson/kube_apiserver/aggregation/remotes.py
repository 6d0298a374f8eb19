"""One aggregated server as one APIService names it: where it is, how it is trusted, and how it is asked.

This server shows its front-proxy certificate (--proxy-client-cert-file) and verifies the other by the APIService's
caBundle for the name SERVICE.NAMESPACE.svc; without a bundle, by the host's own roots.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from pathlib import Path

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.proxies import addresses, documents, headers
from keelson.kube_apiserver.proxies.backends import Backend, BackendError, Target
from keelson.kube_apiserver.proxies.documents import Fetched
from keelson.kube_apiserver.proxies.forwarding import forward
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.services.resolvers import ResolveError, Resolver
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.tracing import spans

from . import identities
from .services import Reference, reference

AVAILABLE = "Available"
_CONNECT_SECONDS = 5.0


class RemoteError(Exception):
    """An aggregated server that does not answer as it should; the text says what happened."""


class Transports:
    """TLS to aggregated servers. Contexts are made anew when the client certificate's files change."""

    def __init__(self, certificate: str, key: str) -> None:
        self._certificate = certificate
        self._key = key
        self._files = [Path(path) for path in (certificate, key) if path]
        self._seen: list[tuple[int, int]] = []
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def context(self, bundle: str, *, insecure: bool) -> ssl.SSLContext:
        """The context for a caBundle (base64 of PEM). Raises RemoteError where it holds no certificates."""
        seen = [(stat.st_mtime_ns, stat.st_ino) for stat in (path.stat() for path in self._files)]
        if seen != self._seen:
            self._contexts.clear()
            self._seen = seen
        context = self._contexts.get((bundle, insecure))
        if context is None:
            context = self._contexts[bundle, insecure] = self._made(bundle, insecure=insecure)
        return context

    def _made(self, bundle: str, *, insecure: bool) -> ssl.SSLContext:
        try:
            roots = base64.b64decode(bundle).decode("ascii") if bundle else None
            context = ssl.create_default_context(cadata=roots)
            if self._certificate:
                context.load_cert_chain(self._certificate, self._key)
        except (ValueError, ssl.SSLError) as error:
            raise RemoteError(f"unable to load root certificates: {error}") from error
        # Go verifies chains without RFC 5280's optional marks, and CAs made for it lack them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def forget(self, bundle: str, *, insecure: bool) -> None:
        """Nobody needs this context any more."""
        self._contexts.pop((bundle, insecure), None)


class Remote:
    """The server of one group and version."""

    def __init__(
        self, api_service: Object, transports: Transports, resolver: Resolver, withheld: Sequence[str] = ()
    ) -> None:
        """`withheld` are beginnings of headers in which front proxies state identities to this server."""
        spec = api_service["spec"]
        self.name = meta.name(api_service)
        self.spec: Object = spec
        self.group: str = spec.get("group") or ""
        self.version: str = spec["version"]
        self.group_priority = int(spec.get("groupPriorityMinimum") or 0)
        self.version_priority = int(spec.get("versionPriority") or 0)
        self.reference: Reference = reference(spec["service"])
        # Whether some instance has found it available; the worker of availability writes it to the APIService.
        self.available = meta.condition_is(api_service, AVAILABLE)
        self._bundle: str = spec.get("caBundle") or ""
        self._insecure = bool(spec.get("insecureSkipTLSVerify"))
        self._transports = transports
        self._resolver = resolver
        self._withheld = withheld

    @property
    def path(self) -> str:
        """Where its discovery document lies."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def forget(self) -> None:
        """Its APIService is gone or another."""
        self._transports.forget(self._bundle, insecure=self._insecure)

    async def _target(self) -> Target:
        place = await self._resolver.resolve(*self.reference)
        context = self._transports.context(self._bundle, insecure=self._insecure)
        # An aggregated server may run on this very host.
        return Target(place.host, place.port, context, addresses.is_node_address, self.reference.server_name)

    async def forward(self, request: Request, user: User) -> Response | None:
        """Pass a request on in the user's name. Raises StatusError 503 where the server can't be asked."""
        if not self.available:
            raise errors.unavailable("service unavailable")
        try:
            named = identities.of_user(user)
            target = await self._target()
        except ResolveError as error:
            raise errors.unavailable("service unavailable") from error
        except identities.HeaderError as error:
            raise errors.unavailable(str(error)) from error
        except RemoteError as error:
            raise errors.internal(str(error)) from error
        host = request.headers.get("host") or target.authority
        sent = headers.of_request(request.headers, host, remote=request.remote, withheld=self._withheld)
        sent += [("X-Forwarded-Host", host), ("X-Forwarded-Proto", "https"), *named]
        about = {"http.request.method": request.method, "server.address": target.host, "url.path": request.path}
        with spans.child(f"HTTP {request.method}", about, spans.CLIENT):
            if trace := spans.headers():
                # What the client has sent of its own trace names the parent of this server's span, not of the other's.
                sent = [(name, value) for name, value in sent if name not in ("traceparent", "tracestate")]
                sent += trace.items()
            return await self._passed(target, request, sent)

    async def _passed(self, target: Target, request: Request, sent: Sequence[tuple[str, str]]) -> Response | None:
        try:
            backend = await Backend.connect(target, _CONNECT_SECONDS)
        except BackendError as error:
            raise errors.unavailable(f"error trying to reach service: {error}") from error
        try:
            return await forward(
                backend, request, request.target, sent, relocate=None, unreachable="error trying to reach service"
            )
        finally:
            backend.close()

    async def fetch(self, path: str, *, accept: str = "application/json", etag: str = "", seconds: float) -> Fetched:
        """A document, asked for in the aggregator's own name. Raises RemoteError, also where `seconds` pass."""
        try:
            async with asyncio.timeout(seconds):
                return await self._fetched(path, accept, etag)
        except TimeoutError as error:
            raise RemoteError(f"timed out waiting for https://{self.reference.server_name}{path}") from error
        except (BackendError, ResolveError) as error:
            raise RemoteError(str(error)) from error

    async def _fetched(self, path: str, accept: str, etag: str) -> Fetched:
        sent = [("Accept", accept), *identities.of_user(identities.AGGREGATOR)]
        if etag:
            sent.append(("If-None-Match", etag))
        return await documents.fetch(await self._target(), path, sent)
