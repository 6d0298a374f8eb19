"""Metrics of webhooks and policies under upstream's names (apiserver/pkg/admission/metrics)."""

from __future__ import annotations

from functools import cache

from keelson.component_base import metrics

VALIDATING, MUTATING = "validating", "admit"
# Codes above this are counted as it, so that a webhook can't make labels without end.
_MOST_CODE = 600

_REJECTIONS = metrics.gauge(
    metrics.unsuffixed("apiserver_admission_webhook_rejection_count"),
    "Admission webhook rejection count, by name, admission type, operation, error type and rejection code.",
    ("name", "type", "operation", "error_type", "rejection_code"),
)
_FAIL_OPENS = metrics.gauge(
    metrics.unsuffixed("apiserver_admission_webhook_fail_open_count"),
    "Admission webhook fail open count, by name and admission type.",
    ("name", "type"),
)
_REQUESTS = metrics.counter(
    "apiserver_admission_webhook_request_total",
    "Admission webhook request total, by name, admission type, operation, HTTP status code and outcome.",
    ("name", "type", "operation", "code", "rejected"),
)
_DURATIONS = metrics.histogram(
    "apiserver_admission_webhook_admission_duration_seconds",
    "Admission webhook latency in seconds, by name, operation and admission type.",
    ("name", "type", "operation", "rejected"),
    buckets=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25),
)
_CONDITION_ERRORS = metrics.counter(
    "apiserver_admission_match_condition_evaluation_errors_total",
    "Errors of match conditions, by the resource that states them, its kind (webhook or policy), operation and type.",
    ("name", "kind", "type", "operation"),
)
_CONDITION_EXCLUSIONS = metrics.counter(
    "apiserver_admission_match_condition_exclusions_total",
    "Requests that match conditions excluded, by the resource that states them, its kind, operation and type.",
    ("name", "kind", "type", "operation"),
)
_CONDITION_SECONDS = metrics.histogram(
    "apiserver_admission_match_condition_evaluation_seconds",
    "Time that match conditions took in seconds, by the resource that states them, its kind, operation and type.",
    ("name", "kind", "type", "operation"),
    buckets=(0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25),
)
_POLICY_CHECKS = metrics.counter(
    "apiserver_validating_admission_policy_check_total",
    "Checks of validating admission policies, by policy, binding, what was enforced and the type of error.",
    ("policy", "policy_binding", "error_type", "enforcement_action"),
)
_POLICY_SECONDS = metrics.histogram(
    "apiserver_validating_admission_policy_check_duration_seconds",
    "Time that validations took in seconds, by policy, binding, what was enforced and the type of error.",
    ("policy", "policy_binding", "error_type", "enforcement_action"),
    buckets=(0.0000005, 0.001, 0.01, 0.1, 1.0),
)
_MUTATION_CHECKS = metrics.counter(
    "apiserver_mutating_admission_policy_check_total",
    "Mutations of mutating admission policies, by policy, binding and the type of error.",
    ("policy", "policy_binding", "error_type"),
)
_MUTATION_SECONDS = metrics.histogram(
    "apiserver_mutating_admission_policy_check_duration_seconds",
    "Time that mutations took in seconds, by policy, binding and the type of error.",
    ("policy", "policy_binding", "error_type"),
    buckets=(0.0000005, 0.001, 0.01, 0.1, 1.0),
)
_EVALUATIONS = metrics.counter(
    "pod_security_evaluations_total",
    "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
    ("decision", "policy_level", "policy_version", "mode", "request_operation", "resource", "subresource"),
)
_EXEMPTIONS = metrics.counter(
    "pod_security_exemptions_total",
    "Number of exempt requests, not counting ignored or out of scope requests.",
    ("request_operation", "resource", "subresource"),
)


# Every pod is evaluated, most of them alike.
_evaluations = cache(_EVALUATIONS.labels)


def _kind_of(plural: str) -> str:
    return {"pods": "pod", "namespaces": "namespace"}.get(plural, "controller")


def pod_evaluated(
    decision: str, level: str, version: str, mode: str, operation: str, plural: str, subresource: str
) -> None:
    """A pod or template was held against a level (pod-security-admission/metrics); the decision is allow or deny."""
    about = (operation.lower(), _kind_of(plural), subresource)
    _evaluations(decision, level, version, mode, *about).inc()


def pod_exempted(operation: str, plural: str, subresource: str) -> None:
    """A pod or template was let be because of whose it is, or where."""
    _EXEMPTIONS.labels(operation.lower(), _kind_of(plural), subresource).inc()


def called(name: str, kind: str, operation: str, seconds: float, *, code: int, rejected: bool) -> None:
    """A webhook was called."""
    told = "true" if rejected else "false"
    _DURATIONS.labels(name, kind, operation, told).observe(seconds)
    _REQUESTS.labels(name, kind, operation, str(min(code, _MOST_CODE)), told).inc()


def rejected(name: str, kind: str, operation: str, error_type: str, code: int) -> None:
    """A request was refused because of a webhook: no_error, calling_webhook_error or apiserver_internal_error."""
    _REJECTIONS.labels(name, kind, operation, error_type, str(min(code, _MOST_CODE))).inc()


def failed_open(name: str, kind: str) -> None:
    """A webhook could not be called, and its failure policy ignores that."""
    _FAIL_OPENS.labels(name, kind).inc()


def conditions(
    name: str, owner: str, kind: str, operation: str, seconds: float, *, errors: int, excluded: bool
) -> None:
    """Match conditions were evaluated; `owner` is "webhook" or "policy"."""
    _CONDITION_SECONDS.labels(name, owner, kind, operation).observe(seconds)
    if errors:
        _CONDITION_ERRORS.labels(name, owner, kind, operation).inc(errors)
    if excluded:
        _CONDITION_EXCLUSIONS.labels(name, owner, kind, operation).inc()


def _error_type(error: str) -> str:
    if not error:
        return "no_error"
    if error.startswith("compilation"):
        return "compile_error"
    if error.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


def policy_checked(policy: str, binding: str, action: str, seconds: float, error: str) -> None:
    """A validation had an effect: `action` is "allow", "deny", "audit" or "warn"."""
    labels = (policy, binding, _error_type(error), action)
    _POLICY_CHECKS.labels(*labels).inc()
    _POLICY_SECONDS.labels(*labels).observe(seconds)


def mutated(policy: str, binding: str, seconds: float, error: str) -> None:
    """A mutation ran."""
    labels = (policy, binding, _error_type(error))
    _MUTATION_CHECKS.labels(*labels).inc()
    _MUTATION_SECONDS.labels(*labels).observe(seconds)
