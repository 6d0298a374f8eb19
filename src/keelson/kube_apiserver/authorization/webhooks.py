"""The mode Webhook: another server says who may do what, by SubjectAccessReview; its answers are believed for a while.

Match conditions (CEL over `request`, the review's spec) say what it is asked about at all. Where it can't be asked, or
a condition can't be evaluated, `failurePolicy` decides (KEP-3221).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.api import field_selectors
from keelson.api.cel.programs import Program
from keelson.api.cel.values import BudgetError, EvalError
from keelson.api.errors import StatusError
from keelson.api.field_selectors import EQUALS, Term
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.remote_reviews import Reviewer
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .unions import NO_OPINION, Verdict

log = logging.getLogger(__name__)

_REMEMBERED = 8192
# What is longer than this is not worth the memory (upstream's limit on attributes that are kept).
_MOST_KEPT = 10_000

_EVALUATIONS = metrics.counter(
    "apiserver_authorization_webhook_evaluations_total", "Round-trips to authorization webhooks.", ("name", "result")
)
_OPEN = metrics.counter(
    "apiserver_authorization_webhook_evaluations_fail_open_total",
    "NoOpinion results due to webhook timeout or error.",
    ("name", "result"),
)
_EXCLUDED = metrics.counter(
    "apiserver_authorization_match_condition_exclusions_total",
    "Exclusions when an authorizer webhook is skipped because match conditions exclude it.",
    ("type", "name"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one webhook is used; a time of 0 is not to remember."""

    name: str
    version: str = "v1"
    allowed_seconds: float = 300.0
    refused_seconds: float = 30.0
    denies_on_error: bool = False
    conditions: Sequence[Program] = ()


class Webhook:
    """One such server."""

    def __init__(self, reviewer: Reviewer, settings: Settings) -> None:
        self.reviewer = reviewer
        self.settings = settings
        lasts = max(settings.allowed_seconds, settings.refused_seconds)
        self._known: Recent[tuple[Any, ...], tuple[float, Verdict]] = Recent(_REMEMBERED, lasts)

    def authorize(self, user: User, info: RequestInfo) -> Verdict | Coroutine[Any, Any, Verdict]:
        """What it is known to say, or an awaitable of what it says."""
        extra = tuple(sorted((key, tuple(values)) for key, values in user.extra.items()))
        key = (user.name, user.uid, user.groups, extra, info)
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        spec = spec_of(user, info)
        if self.settings.conditions:
            matched = self._matches(spec)
            if matched is not None:
                return matched
        return self._ask(key, spec)

    def _matches(self, spec: Object) -> Verdict | None:
        """None where it is to be asked."""
        failed = ""
        for condition in self.settings.conditions:
            try:
                if condition.run({"request": spec})[0] is not True:
                    _EXCLUDED.labels("Webhook", self.settings.name).inc()
                    return NO_OPINION
            except (EvalError, BudgetError) as error:
                failed = str(error)
        if not failed:
            return None
        log.warning("a match condition of the authorizer %s can't be evaluated: %s", self.settings.name, failed)
        return self._on_error

    @property
    def _on_error(self) -> Verdict:
        return Verdict(False if self.settings.denies_on_error else None, failed=True)

    async def _ask(self, key: tuple[Any, ...], spec: Object) -> Verdict:
        name = self.settings.name
        try:
            status = await self.reviewer.ask(_sent(spec, self.settings.version))
        except StatusError as error:
            log.error("the authorizer %s can't be asked: %s", name, error)
            result = "timeout" if error.code == 504 else "error"
            _EVALUATIONS.labels(name, result).inc()
            if not self.settings.denies_on_error:
                _OPEN.labels(name, result).inc()
            return self._on_error
        _EVALUATIONS.labels(name, "success").inc()
        allowed, denied = bool(status.get("allowed")), bool(status.get("denied"))
        if allowed and denied:
            log.error("the authorizer %s both allows and denies", name)
        verdict = Verdict(False if denied else True if allowed else None, str(status.get("reason") or ""))
        seconds = self.settings.allowed_seconds if allowed else self.settings.refused_seconds
        if seconds and _size(spec) < _MOST_KEPT:
            self._known[key] = (time.monotonic() + seconds, verdict)
        return verdict


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(key) + _size(each) for key, each in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else len(str(value))


def spec_of(user: User, info: RequestInfo) -> Object:
    """The spec of the review, every field of it stated, so that expressions may read each."""
    spec: Object = {
        "user": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    if not info.is_resource:
        spec["nonResourceAttributes"] = {"path": info.path, "verb": info.verb}
        return spec
    attributes: Object = {
        "namespace": info.namespace,
        "verb": info.verb,
        "group": info.group,
        "version": info.version,
        "resource": info.resource,
        "subresource": info.subresource,
        "name": info.name,
    }
    if info.field_selector:
        try:
            terms = field_selectors.parse(info.field_selector).terms
        except ValueError:
            # What makes no sense is refused with a better message than a webhook has.
            terms = ()
        if terms:
            attributes["fieldSelector"] = {"requirements": [_requirement(term) for term in terms]}
    spec["resourceAttributes"] = attributes
    return spec


def _requirement(term: Term) -> Object:
    return {
        "key": term.field,
        "operator": "In" if term.operator == EQUALS else "NotIn",
        "values": [term.value],
    }


def _sent(spec: Object, version: str) -> Object:
    """The spec as the review's version has it, without what is empty."""
    sent = {key: value for key, value in spec.items() if value}
    if version == "v1beta1" and "groups" in sent:
        sent["group"] = sent.pop("groups")
    attributes = sent.get("resourceAttributes")
    if attributes is not None:
        sent["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
    return sent
