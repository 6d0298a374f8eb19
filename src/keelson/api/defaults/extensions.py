"""Defaults of what extends the API: admission webhooks and policies, CRDs, API services."""

from __future__ import annotations

from typing import Any

from keelson.api.meta import Object

_ADMISSION = "admissionregistration.k8s.io/v1"


def _rules(rules: list[Object] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def _selectors(match: Object) -> None:
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})


def _webhook(webhook: Object) -> None:
    webhook.setdefault("failurePolicy", "Fail")
    webhook.setdefault("timeoutSeconds", 10)
    _selectors(webhook)
    _rules(webhook.get("rules"))
    service = (webhook.get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def mutating_webhooks(obj: Object) -> None:
    """Defaults of a MutatingWebhookConfiguration."""
    for webhook in obj.get("webhooks") or ():
        webhook.setdefault("reinvocationPolicy", "Never")
        _webhook(webhook)


def validating_webhooks(obj: Object) -> None:
    """Defaults of a ValidatingWebhookConfiguration."""
    for webhook in obj.get("webhooks") or ():
        _webhook(webhook)


def _match_resources(match: Any) -> None:
    if isinstance(match, dict):
        _selectors(match)
        _rules(match.get("resourceRules"))
        _rules(match.get("excludeResourceRules"))


def admission_policy(obj: Object) -> None:
    """Defaults of ValidatingAdmissionPolicy and MutatingAdmissionPolicy."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _match_resources(spec.get("matchConstraints"))


def admission_policy_binding(obj: Object) -> None:
    """Defaults of the bindings of admission policies."""
    _match_resources((obj.get("spec") or {}).get("matchResources"))


def custom_resource_definition(obj: Object) -> None:
    """Defaults of a CustomResourceDefinition."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    if kind and not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def api_service(obj: Object) -> None:
    """Defaults of an APIService."""
    service = (obj.get("spec") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


KINDS = {
    (_ADMISSION, "MutatingWebhookConfiguration"): mutating_webhooks,
    (_ADMISSION, "ValidatingWebhookConfiguration"): validating_webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): admission_policy,
    (_ADMISSION, "MutatingAdmissionPolicy"): admission_policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): admission_policy_binding,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): admission_policy_binding,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): custom_resource_definition,
    ("apiregistration.k8s.io/v1", "APIService"): api_service,
}
