"""The chain of every request: who asks, what for, may he, and the answer; errors become Status objects here.

Metrics and the limits on what is in flight live here too, because here is the one place that sees every request's
beginning and end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

import orjson

from keelson.api import errors
from keelson.component_base import durations, metrics

from .audit.auditors import Auditor
from .authentication.impersonation import Impersonations
from .authentication.unions import Union as Authentication
from .authorization.attempts import Attempts
from .authorization.unions import Authorizer, RefusalError, Verdict, refusal
from .encodings.answers import renegotiated
from .flow_control.flows import Flows, seats
from .flow_control.levels import RejectedError, Ticket
from .handlers import Handler, Handlers
from .quick_reads import Reads
from .registry.contexts import User
from .registry.parameters import flag
from .request_metrics import Meters
from .serving import request_infos, warnings
from .serving.messages import Request, Response, TooLargeError
from .serving.negotiation import JSON
from .serving.request_infos import RequestInfo
from .slow_requests import SECONDS as SLOW_SECONDS
from .slow_requests import SlowRequests
from .tracing import requests as tracing
from .tracing.spans import Tracer

log = logging.getLogger(__name__)

# Upstream's MaxRequestBodyBytes.
_MOST_BODY_BYTES = 3 * 1024 * 1024
_MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_DECISION, _REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_LISTS = frozenset({"list", "watch"})
_ALWAYS_ANSWERED = ("/readyz", "/livez", "/healthz", "/metrics")
_LONG_RUNNING = frozenset({"exec", "attach", "portforward", "proxy", "log"})

_IN_FLIGHT = metrics.gauge("apiserver_current_inflight_requests", "Requests in flight.", ("request_kind",))


class Limits:
    """How many requests of a kind may be in flight; 0 is no limit."""

    def __init__(self, reading: int, mutating: int) -> None:
        self._most = {"readOnly": reading, "mutating": mutating}
        self._now = {"readOnly": 0, "mutating": 0}
        for kind in self._now:
            _IN_FLIGHT.labels(kind).set_function(partial(self._count, kind))

    def _count(self, kind: str) -> float:
        return self._now[kind]

    def enter(self, kind: str) -> None:
        """Count a request in. Raises StatusError 429."""
        most = self._most[kind]
        if most and self._now[kind] >= most:
            raise errors.too_many_requests("Too many requests, please try again later.", 1)
        self._now[kind] += 1

    def leave(self, kind: str) -> None:
        """Count it out."""
        self._now[kind] -= 1


def status_response(error: errors.StatusError) -> Response:
    """The answer that an error is."""
    if isinstance(error, errors.PathNotFoundError):
        # Clients tell it from an object that isn't there by its form, and name what they asked for themselves.
        headers = [("Cache-Control", "no-cache, private"), ("X-Content-Type-Options", "nosniff")]
        return Response(error.code, error.TEXT.encode(), "text/plain; charset=utf-8", headers)
    headers = [("Cache-Control", "no-cache, private")]
    if wait := error.details.get("retryAfterSeconds"):
        headers.append(("Retry-After", str(wait)))
    if isinstance(error, RefusalError):
        headers.append(("X-Content-Type-Options", "nosniff"))
    return Response(error.code, orjson.dumps(error.status()), JSON, headers)


class Chain:
    """The server's handler of requests."""

    def __init__(
        self,
        authentication: Authentication,
        authorizer: Authorizer,
        handlers: Handlers,
        *,
        limits: Limits,
        meters: Meters,
        attempts: Attempts,
        flows: Flows | None = None,
        auditor: Auditor | None = None,
        size_of: Callable[[RequestInfo], int] = lambda _info: 0,
        timeout: float = 60.0,
    ) -> None:
        """`attempts` is told of each request's authorization, `size_of` tells how many objects a resource has; `flows`
        None is no priority and fairness.
        """
        self._authentication = authentication
        self._authorizer = authorizer
        self._impersonations = Impersonations(authorizer)
        self._handlers = handlers
        self.limits = limits
        self._flows = flows
        # Records every request; None where nothing is to be recorded.
        self.auditor = auditor
        self._size_of = size_of
        self._timeout = timeout
        # Paths that are no resources: exact ones, and those below a prefix.
        self.paths: dict[str, Handler] = {}
        self.prefixes: dict[str, Handler] = {}
        # Who handles a group and version that another server serves (aggregation); None as long as there is none.
        self.elsewhere: Callable[[str, str], Handler | None] | None = None
        self._meters = meters
        self._attempts = attempts
        self.slow = SlowRequests()
        # Told of each GET that may be repeated and was answered.
        self.reads: Reads | None = None
        # Decides which requests are traced; None where none is.
        self.tracer: Tracer | None = None
        # Whether whoever comes is sent to another server (--shutdown-send-retry-after).
        self.closing = False
        # Requests that are being answered, but for long-running ones.
        self._answering = 0
        self._idle = asyncio.Event()

    async def idle(self) -> None:
        """Wait until every request is answered, but for long-running ones."""
        while self._answering:
            self._idle.clear()
            await self._idle.wait()

    async def __call__(self, request: Request) -> Response | None:
        """Answer one request; never raises but for a lost connection."""
        if self.closing and not request.path.startswith(_ALWAYS_ANSWERED):
            return _closed(request)
        started = request.began = time.perf_counter()
        self._answering += 1
        info: RequestInfo | None = None
        response: Response | None = None
        panicked = False
        try:
            info = self._info(request)
            response = await self._answer(request, info)
        except errors.StatusError as error:
            response = renegotiated(request, status_response(error))
        except (ConnectionError, asyncio.CancelledError):
            if request.audit is not None:
                request.audit.finished(None)
            raise
        except RecursionError:
            response = status_response(errors.bad_request("the body is nested too deeply"))
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            panicked = True
            response = status_response(errors.internal(type(error).__name__))
        finally:
            if not request.long_running:
                self._done()
            if request.span is not None:
                tracing.end(request, request.span, response)
        if info is not None:
            seconds = time.perf_counter() - started
            self._measure(request, info, response, seconds)
            if seconds >= SLOW_SECONDS and response is not None and not request.long_running:
                self.slow.tell(request, info, response.status, seconds)
        if request.audit is not None:
            request.audit.finished(response, panicked=panicked)
        if response is not None and request.warnings:
            response.headers = [*response.headers, *(("Warning", text) for text in warnings.headers(request.warnings))]
        return response

    def _done(self) -> None:
        self._answering -= 1
        if not self._answering:
            self._idle.set()

    async def _go_on(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        """Answer a request that lasts as long as its client likes, and whose end nobody waits for."""
        request.long_running = True
        self._done()
        meter = self._meters.of(info)
        meter.begin()
        try:
            return await self._dispatch(request, info, user)
        finally:
            meter.end()

    def _measure(self, request: Request, info: RequestInfo, response: Response | None, seconds: float) -> None:
        meter = self._meters.of(info, request.query_string, request.headers.get("content-type", ""))
        if response is None:
            meter.count(200)
        else:
            meter.note(response.status, seconds, sum(map(len, response.parts)))
        context = request.context
        waited = request.waited if context is None else request.waited + context.waited
        if waited and response is not None:
            meter.without(seconds, waited)
        if context is not None:
            if context.deprecation:
                meter.deprecated = True
            if request.body:
                meter.taken(len(request.body))

    def _info(self, request: Request) -> RequestInfo:
        if not request.query_string:
            return request_infos.of(request.method, request.path)
        selector = request.parameter("fieldSelector")
        return request_infos.of(request.method, request.path, watch=flag(request, "watch"), field_selector=selector)

    async def _answer(self, request: Request, info: RequestInfo) -> Response | None:
        if self.auditor is None:
            user = await self._authentication.authenticate(request)
        else:
            user = await self._audited(self.auditor, request, info)
        known = time.perf_counter()
        request.steps.append((tracing.AUTHENTICATION, known))
        if self.tracer is not None:
            tracing.begin(self.tracer, request, info, user)
        if any(name.startswith("impersonate-") for name in request.headers):
            acting = await self._impersonations.applied(user, request, info)
            if acting is not None:
                user = acting.user
                if request.audit is not None:
                    request.audit.impersonated(*acting)
            request.steps.append((tracing.IMPERSONATION, time.perf_counter()))
        if request.incoming is not None and not request.is_passed_on:
            # From those who may send it, and before they take seats.
            await self._permit(request, info, user)
            await self._take_body(request)
            request.steps.append(("limitedReadBody succeeded", time.perf_counter()))
        if info.is_resource and info.subresource in _LONG_RUNNING:
            await self._permit(request, info, user)
            return await self._go_on(request, info, user)
        if self._flows is None:
            return await self._run(request, info, user)
        flow = self._flows.of(user, info)
        request.head += flow.head
        width = seats(request, info, flow, self._size_of(info)) if info.verb in _LISTS else 1
        level, tally = flow.level, flow.tally
        ticket: Ticket | None = None
        if not level.enter(tally, width):
            came = time.perf_counter()
            try:
                ticket = await self._flows.wait(flow, width)
            except RejectedError:
                return self._flows.refusal(flow)
            request.waited = time.perf_counter() - came
        seated = time.perf_counter()
        request.steps.append((tracing.FAIRNESS, seated))

        def leave() -> None:
            (tally.begun if info.verb == "watch" else tally.ran).note(time.perf_counter() - seated)
            level.leave(tally, width, ticket)

        if info.verb == "watch":
            return await self._watch(request, info, user, leave)
        try:
            response = await self._run(request, info, user)
        finally:
            leave()
        if request.routes is not None and self.reads is not None:
            self.reads.learn(request, info, user, response, self._meters.of(info))
        return response

    async def _audited(self, auditor: Auditor, request: Request, info: RequestInfo) -> User:
        """The user, with a record begun; also of those whom nobody knows."""
        try:
            user = await self._authentication.authenticate(request)
        except errors.StatusError:
            auditor.begin(request, info, None)
            raise
        auditor.begin(request, info, user)
        return user

    async def _watch(
        self, request: Request, info: RequestInfo, user: User, leave: Callable[[], None]
    ) -> Response | None:
        """A watch keeps its seats while it begins, and no longer."""
        left = False

        def settled() -> None:
            nonlocal left
            if not left:
                left = True
                leave()

        request.settled = settled
        try:
            return await self._run(request, info, user)
        finally:
            settled()

    async def _permit(self, request: Request, info: RequestInfo, user: User) -> None:
        """Let a request pass that is allowed; it is decided once. Raises StatusError 403, 405."""
        if request.is_permitted:
            return
        began = time.perf_counter()
        answer = self._authorizer.authorize(user, info)
        verdict = answer if isinstance(answer, Verdict) else await answer
        decided = time.perf_counter()
        self._attempts.note(verdict.allowed, decided - began, failed=verdict.failed)
        request.steps.append((tracing.AUTHORIZATION, decided))
        if request.audit is not None:
            request.audit.annotations[_DECISION] = "allow" if verdict.allowed else "forbid"
            request.audit.annotations[_REASON] = verdict.reason
        if verdict.allowed is not True:
            raise refusal(user, info, verdict.reason)
        if info.is_resource and not info.verb and info.subresource != "proxy":
            raise errors.method_not_allowed(request.method, info.resource)
        request.is_permitted = True

    async def _take_body(self, request: Request) -> None:
        """Wait for a body that did not come with its headers. Raises StatusError 413, 504."""
        try:
            async with asyncio.timeout(self._timeout):
                await request.take(_MOST_BODY_BYTES)
        except TooLargeError as error:
            raise errors.entity_too_large(f"Request entity too large: limit is {_MOST_BODY_BYTES}") from error
        except TimeoutError as error:
            raise errors.timeout("request did not complete within the allotted timeout", retry_after=0) from error

    async def _run(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        await self._permit(request, info, user)
        if info.verb == "watch":
            return await self._go_on(request, info, user)
        kind = "mutating" if info.verb in _MUTATING else "readOnly"
        self.limits.enter(kind)
        try:
            async with asyncio.timeout(self._seconds(request)):
                return await self._dispatch(request, info, user)
        except TimeoutError as error:
            raise errors.timeout("request did not complete within the allotted timeout", retry_after=0) from error
        finally:
            self.limits.leave(kind)

    def _seconds(self, request: Request) -> float:
        """How long the request may take: the server's limit, or less where the client asks for less."""
        text = request.parameter("timeout") if request.query_string else ""
        if not text:
            return self._timeout
        try:
            asked = durations.parse(text)
        except ValueError as error:
            raise errors.bad_request(f"invalid timeout specified in the request URL - {error}") from error
        return min(asked, self._timeout) if asked > 0 else self._timeout

    async def _dispatch(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        if info.is_resource:
            if self.elsewhere is not None:
                remote = self.elsewhere(info.group, info.version)
                if remote is not None:
                    return await remote(request, info, user)
            if request.span is None:
                return await self._handlers.handle(request, info, user)
            first = len(request.steps)
            with tracing.operation(info, request) as span:
                try:
                    return await self._handlers.handle(request, info, user)
                finally:
                    tracing.tell(span, request, first)
        handler = self.paths.get(info.path)
        if handler is None:
            for prefix, found in self.prefixes.items():
                if info.path.startswith(prefix):
                    handler = found
                    break
            else:
                raise errors.path_not_found()
        response = await handler(request, info, user)
        return None if response is None else renegotiated(request, response)


def _closed(request: Request) -> Response:
    """What a server that is about to end tells whoever comes; the connection ends with it."""
    if request.connection is not None:
        request.connection.close_when_idle()
    headers = (("Retry-After", "5"), ("X-Content-Type-Options", "nosniff"))
    body = b"The apiserver is shutting down, please try again later.\n"
    return Response(429, body, "text/plain; charset=utf-8", headers)
