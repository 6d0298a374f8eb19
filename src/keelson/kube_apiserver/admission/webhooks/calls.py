"""A webhook called: whether it is to be, what came of it, and what its failure means.

Failing to get an answer is something else than a refusal: the first is subject to failurePolicy, the second never.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from typing import Any

from keelson.api import errors
from keelson.kube_apiserver.admission import expressions, metrics
from keelson.kube_apiserver.admission.cases import Case, Shown
from keelson.kube_apiserver.admission.expressions import Expressions
from keelson.kube_apiserver.tracing import spans
from keelson.kube_apiserver.tracing.spans import Nothing, Span
from keelson.kube_apiserver.webhooks.clients import CallError, Clients
from keelson.kube_apiserver.webhooks.credentials import ANONYMOUS, Credentials

from . import reviews
from .hooks import Hook
from .reviews import Response, ReviewError

log = logging.getLogger(__name__)


class _FailedError(Exception):
    """No usable answer; `code` stands for it in metrics."""

    def __init__(self, name: str, why: str, code: int) -> None:
        super().__init__(f'failed calling webhook "{name}": {why}')
        self.code = code


@dataclass(frozen=True, slots=True)
class Caller:
    """What calls need. `kind` is the type of admission in metrics."""

    clients: Clients
    expressions: Expressions
    kind: str
    credentials: Credentials = ANONYMOUS

    async def matched(self, case: Case, hook: Hook) -> Shown | None:
        """The request as the webhook is to be shown it, None where it is not to be called. Raises StatusError."""
        resource = await case.matched(hook.criteria)
        if resource is None:
            return None
        shown = await (case.draft(resource) if self.kind == metrics.MUTATING else case.shown(resource))
        return shown if not hook.conditions or await self._conditions(case, hook, shown) else None

    async def _conditions(self, case: Case, hook: Hook, shown: Shown) -> bool:
        from keelson.api.cel import conditions
        from keelson.api.cel.environments import CONDITIONS_BUDGET
        from keelson.api.cel.evaluations import Budget

        started = time.perf_counter()
        variables = self.expressions.variables(case, shown)
        verdict = await expressions.decided(
            lambda trial: conditions.holds(
                hook.conditions, variables, Budget(CONDITIONS_BUDGET, trial), closed=hook.closed
            )
        )
        attributes = case.attributes
        metrics.conditions(
            hook.name,
            "webhook",
            self.kind,
            attributes.operation,
            time.perf_counter() - started,
            errors=verdict.errors,
            excluded=not verdict.matches and not verdict.error,
        )
        if verdict.error:
            resource = attributes.resource
            raise errors.forbidden(resource.plural, attributes.name, verdict.error, group=resource.group)
        return verdict.matches

    async def call(self, case: Case, hook: Hook, shown: Shown, place: str) -> Response | None:
        """The webhook's answer, which allows the request; None where it gave none and that is ignored.

        `place` is where among the webhooks it stands, for the audit annotation. Raises StatusError.
        """
        operation, started = case.attributes.operation, time.perf_counter()

        def count(code: int, *, rejected: bool) -> None:
            seconds = time.perf_counter() - started
            case.attributes.context.done(f"Webhook {hook.name} answered")
            metrics.called(hook.name, self.kind, operation, seconds, code=code, rejected=rejected)

        if case.attributes.context.dry_run and not hook.runs_dry:
            metrics.rejected(hook.name, self.kind, operation, "apiserver_internal_error", 0)
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            response = await self._asked(case, hook, shown)
        except _FailedError as error:
            count(error.code, rejected=hook.closed)
            if hook.closed:
                metrics.rejected(hook.name, self.kind, operation, "calling_webhook_error", error.code)
                raise errors.internal(str(error)) from error
            log.warning("Failed calling webhook, failing open %s: %s", hook.name, error)
            metrics.failed_open(hook.name, self.kind)
            case.attributes.context.annotations[f"failed-open.{place}"] = hook.name
            return None
        context = case.attributes.context
        context.annotations.update({f"{hook.name}/{key}": value for key, value in response.annotations.items()})
        context.warnings.extend(response.warnings)
        if not response.allowed:
            refused = reviews.refusal(hook.name, response.status)
            count(refused.code, rejected=True)
            metrics.rejected(hook.name, self.kind, operation, "no_error", refused.code)
            raise refused
        count(200, rejected=False)
        return response

    async def _asked(self, case: Case, hook: Hook, shown: Shown) -> Response:
        uid = str(uuid.uuid4())
        request: dict[str, Any] = case.request(shown)
        try:
            version = reviews.version(hook.versions)
        except ReviewError as error:
            raise _FailedError(hook.name, f"could not create admission objects: {error}", 400) from error
        body = reviews.encoded(version, uid, request, shown.object, shown.old)
        try:
            with self._span(case, hook, uid):
                answer = await self.clients.call(
                    dict(hook.client), body, hook.seconds, tell_timeout=True, credentials=self.credentials
                )
        except CallError as error:
            raise _FailedError(hook.name, f"failed to call webhook: {error}", error.code) from error
        try:
            return reviews.decoded(answer, version, uid, mutating=self.kind == metrics.MUTATING)
        except ReviewError as error:
            raise _FailedError(hook.name, f"received invalid webhook response: {error}", 503) from error

    def _span(self, case: Case, hook: Hook, uid: str) -> Span | Nothing:
        attributes = case.attributes
        about = {
            "configuration": hook.configuration,
            "webhook": hook.name,
            "resource": attributes.resource.qualified,
            "subresource": attributes.subresource,
            "operation": attributes.operation,
            "UID": uid,
        }
        kind = "mutating" if self.kind == metrics.MUTATING else "validating"
        return spans.child(f"Call {kind} webhook", about)
