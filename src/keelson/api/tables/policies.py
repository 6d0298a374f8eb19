"""How rules are printed: bindings of roles, flow control, admission, API services."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.cells import NONE, UNSET, Printer, age, columns


def _binding(obj: Object, now: datetime) -> list[Any]:
    subjects = obj.get("subjects") or ()
    role = obj.get("roleRef") or {}

    def of(kind: str) -> str:
        found = (s for s in subjects if s.get("kind") == kind)
        return ", ".join(
            f"{s['namespace']}/{s.get('name')}" if s.get("namespace") else str(s.get("name", "")) for s in found
        )

    target = f"{role.get('kind')}/{role.get('name')}"
    return [meta.name(obj), target, age(obj, now), of("User"), of("Group"), of("ServiceAccount")]


def _webhooks(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _policy(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    shown = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET
    rules = spec.get("validations") or spec.get("mutations") or ()
    return [meta.name(obj), len(rules), shown, age(obj, now)]


def _policy_binding(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    reference = spec.get("paramRef")
    shown = UNSET
    if reference:
        namespace = reference.get("namespace") or "*"
        shown = f"{namespace}/{reference['name']}" if reference.get("name") else f"{namespace}/selector"
    return [meta.name(obj), spec.get("policyName", ""), shown, age(obj, now)]


def _flow_schema(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    missing = meta.condition(obj, "Dangling")
    return [
        meta.name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type", NONE),
        age(obj, now),
        missing.get("status", "?") if missing else "?",
    ]


def _priority_level(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shares = limited.get("nominalConcurrencyShares", NONE)
    sizes = [queuing.get(field, NONE) for field in ("queues", "handSize", "queueLengthLimit")]
    return [meta.name(obj), spec.get("type", ""), shares, *sizes, age(obj, now)]


def _api_service(obj: Object, now: datetime) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    available = meta.condition(obj, "Available")
    word = "Unknown" if available is None else str(available.get("status"))
    if available and word != "True" and available.get("reason"):
        word = f"{word} ({available['reason']})"
    return [meta.name(obj), shown, word, age(obj, now)]


_RBAC = "rbac.authorization.k8s.io/v1"
_ADMISSION = "admissionregistration.k8s.io/v1"
_FLOW = "flowcontrol.apiserver.k8s.io/v1"
_BINDING = Printer(columns("Name", "Role", "Age", "Users*", "Groups*", "ServiceAccounts*"), _binding)
_WEBHOOKS = Printer(columns("Name", "Webhooks:integer", "Age"), _webhooks)
_POLICY_BINDING = Printer(columns("Name", "PolicyName", "ParamRef", "Age"), _policy_binding)
PRINTERS = {
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    (_ADMISSION, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): Printer(
        columns("Name", "Validations:integer", "ParamKind", "Age"), _policy
    ),
    (_ADMISSION, "MutatingAdmissionPolicy"): Printer(columns("Name", "Mutations:integer", "ParamKind", "Age"), _policy),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
    (_FLOW, "FlowSchema"): Printer(
        columns("Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"),
        _flow_schema,
    ),
    (_FLOW, "PriorityLevelConfiguration"): Printer(
        columns("Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"),
        _priority_level,
    ),
    ("apiregistration.k8s.io/v1", "APIService"): Printer(columns("Name", "Service", "Available", "Age"), _api_service),
}
