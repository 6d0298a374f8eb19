"""The auditor: opens a record for each request that the policy wants, and hands its events to the backends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from keelson.api import errors
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import policies
from .backends import Backend, Batches, Log, Webhook
from .log_files import LogFile
from .policies import LEVELS, Policy
from .records import Record
from .truncation import Truncated

log = logging.getLogger(__name__)

_EVENTS = metrics.counter(
    "apiserver_audit_event_total", "Counter of audit events generated and sent to the audit backend."
)
_LEVELS = metrics.counter(
    "apiserver_audit_level_total", "Counter of policy levels for audit events (1 per request).", ("level",)
)
_REJECTED = metrics.counter(
    "apiserver_audit_requests_rejected_total",
    "Counter of apiserver requests rejected due to an error in audit logging backend.",
)
_MOST_IDENTITY = 64
_NOBODY = User("")
# How long the last events may take to be delivered when the server ends.
_FLUSH_SECONDS = 10.0


class Auditor:
    """The policy and the backends."""

    def __init__(self, policy: Policy, backends: Sequence[Backend]) -> None:
        self._policy = policy
        self._backends = backends
        self._levels = [_LEVELS.labels(level) for level in LEVELS]

    def begin(self, request: Request, info: RequestInfo, user: User | None) -> None:
        """Open the request's record where one is wanted; None is a user whom nobody knows. Raises StatusError 500."""
        identity = request.headers.get("audit-id", "")[:_MOST_IDENTITY]
        if not identity.isprintable() or not identity:
            identity = str(uuid.uuid4())
        request.head += b"Audit-Id: %b\r\n" % identity.encode("latin-1", "replace")
        verdict = self._policy.verdict(user or _NOBODY, info)
        self._levels[verdict.level].inc()
        if not verdict.level:
            return
        record = Record(identity, verdict, request, info, user, self._send)
        if not record.received():
            _REJECTED.inc()
            raise errors.internal("failed to store audit event")
        request.audit = record

    def _send(self, event: Object) -> bool:
        _EVENTS.inc()
        sent = True
        for backend in self._backends:
            # Every backend gets it, whatever the others say.
            sent = backend.send(event) and sent
        return sent

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Deliver while the context is open, and what waits on the way out."""
        async with AsyncExitStack() as stack:
            for backend in self._backends:
                stack.push_async_callback(self._ended, backend, asyncio.create_task(backend.run()))
            yield

    async def _ended(self, backend: Backend, task: asyncio.Task[None]) -> None:
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await backend.flush()
        except TimeoutError:
            log.error("audit events are lost that could not be delivered in time")


def of(options: argparse.Namespace) -> Auditor | None:
    """The auditor that the flags describe, None where there is nothing to do. Raises FatalError."""
    if not options.audit_policy_file:
        if options.audit_log_path or options.audit_webhook_config_file:
            log.warning("No audit policy file provided, no events will be recorded")
        return None
    try:
        policy = policies.load(options.audit_policy_file)
    except ConfigurationError as error:
        raise FatalError(f"argument --audit-policy-file: {error}") from error
    backends: list[Backend] = []
    if options.audit_log_path:
        try:
            file = LogFile(
                options.audit_log_path,
                megabytes=options.audit_log_maxsize,
                backups=options.audit_log_maxbackup,
                days=options.audit_log_maxage,
                compress=options.audit_log_compress,
            )
        except OSError as error:
            raise FatalError(f"argument --audit-log-path: {options.audit_log_path}: {error.strerror}") from error
        terms = _terms(options, "log")
        log_backend = Log(file, mode=options.audit_log_mode, form=options.audit_log_format, terms=terms)
        backends.append(_truncated(log_backend, options, "log"))
    if options.audit_webhook_config_file:
        # The client takes memory that few servers need.
        from keelson.client import kubeconfigs
        from keelson.client.rest import Client

        try:
            config = kubeconfigs.load(options.audit_webhook_config_file)
        except kubeconfigs.KubeconfigError as error:
            raise FatalError(f"argument --audit-webhook-config-file: {error}") from error
        client = Client(config, user_agent="kube-apiserver-audit")
        terms = _terms(options, "webhook")
        webhook = Webhook(client, terms=terms, backoff=options.audit_webhook_initial_backoff)
        backends.append(_truncated(webhook, options, "webhook"))
    return Auditor(policy, backends) if backends else None


def _terms(options: argparse.Namespace, plugin: str) -> Batches:
    def flag(name: str) -> object:
        return getattr(options, f"audit_{plugin}_batch_{name}")

    truncation = _truncation(options, plugin)
    return Batches(
        buffer=int(str(flag("buffer_size"))),
        size=int(str(flag("max_size"))),
        seconds=float(str(flag("max_wait"))),
        throttle=bool(flag("throttle_enable")),
        rate=float(str(flag("throttle_qps"))),
        burst=int(str(flag("throttle_burst"))),
        bytes=int(truncation["max_batch_size"]) if truncation["enabled"] else 0,
    )


def _truncation(options: argparse.Namespace, plugin: str) -> Mapping[str, int]:
    names = ("enabled", "max_batch_size", "max_event_size")
    return {name: getattr(options, f"audit_{plugin}_truncate_{name}") for name in names}


def _truncated(backend: Backend, options: argparse.Namespace, plugin: str) -> Backend:
    truncation = _truncation(options, plugin)
    return Truncated(backend, truncation["max_event_size"]) if truncation["enabled"] else backend
