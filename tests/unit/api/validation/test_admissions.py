"""What admission's configurations must obey, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import resources, validation
from keelson.api.meta import Object

_GROUP = "admissionregistration.k8s.io"


def _told(obj: Object, old: Object | None = None) -> dict[str, str]:
    """The messages by field."""
    plural = {
        "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
        "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
        "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    }[obj["kind"]]
    resource = resources.lookup(f"{plural}.{_GROUP}")
    found = validation.validate_create(resource, obj) if old is None else validation.validate_update(resource, obj, old)
    return {cause["field"]: cause["message"] for cause in found}


def _hook(**changes: Any) -> Object:
    return {
        "name": "hook.example.com",
        "clientConfig": {"url": "https://example.com/hook"},
        "rules": [_rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    } | changes


def _rule(**changes: Any) -> Object:
    return {
        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "*",
    } | changes  # fmt: skip


def _configuration(*hooks: Object) -> Object:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "test", "resourceVersion": "1", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "webhooks": list(hooks),
    }


def test_a_whole_webhook_has_nothing_wrong() -> None:
    assert not _told(_configuration(_hook()))


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": "short.name"}, "name", "should be a domain with at least three segments separated by dots"),
        ({"timeoutSeconds": 31}, "timeoutSeconds", "the timeout value must be between 1 and 30 seconds"),
        ({"sideEffects": "Some"}, "sideEffects", 'supported values: "None", "NoneOnDryRun"'),
        ({"admissionReviewVersions": ["v9"]}, "admissionReviewVersions", "must include at least one of v1, v1beta1"),
        ({"clientConfig": {}}, "clientConfig", "exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://example.com"}}, "clientConfig.url", "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https://me@example.com"}}, "clientConfig.url", "user information is not permitted"),
        (
            {"clientConfig": {"url": "https://example.com?a=b"}},
            "clientConfig.url",
            "query parameters are not permitted",
        ),
        (
            {"clientConfig": {"service": {"namespace": "a", "name": "b", "port": 0}}},
            "clientConfig.service.port",
            "port is not valid",
        ),
        (
            {"clientConfig": {"service": {"namespace": "a", "name": "b", "path": "//x"}}},
            "clientConfig.service.path",
            "segment[0] may not be empty",
        ),
        ({"rules": [_rule(operations=["*", "CREATE"])]}, "rules[0].operations", "if '*' is present"),
        ({"rules": [_rule(resources=["pods/*", "pods/exec"])]}, "rules[0].resources[1]", "if 'pods/*' is present"),
        ({"rules": [_rule(resources=["*/*", "pods"])]}, "rules[0].resources", "if '*/*' is present"),
        (
            {"matchConditions": [{"name": "bad", "expression": "... [] bad expression"}]},
            "matchConditions[0].expression",
            "compilation failed",
        ),
        (
            {"matchConditions": [{"name": "dyn", "expression": "object.x"}]},
            "matchConditions[0].expression",
            "must evaluate to bool but got dyn",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]},
            "matchConditions[1].name",
            'Duplicate value: "a"',
        ),
    ],
)
def test_what_is_wrong_with_a_webhook_is_told(changes: Object, field: str, message: str) -> None:
    told = _told(_configuration(_hook(**changes)))
    assert message in told[f"webhooks[0].{field}"]


def test_a_stored_webhook_is_not_held_against_its_next_version() -> None:
    old = _configuration(_hook(sideEffects="Some", admissionReviewVersions=["v9"]))
    assert not _told(_configuration(_hook(sideEffects="Unknown", admissionReviewVersions=["v9"])), old)


def _policy(kind: str = "ValidatingAdmissionPolicy", **spec: Any) -> Object:
    own: Object = {"validations": [{"expression": "object.spec.replicas > 1"}]}
    if kind == "MutatingAdmissionPolicy":
        mutation = {
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 1}}"},
        }
        own = {"mutations": [mutation], "reinvocationPolicy": "Never"}
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": kind,
        "metadata": {"name": "test.example.com"},
        "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [_rule()]}, **own, **spec},
    }


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"validations": []}, "validations", "must contain at least one item"),
        (
            {"validations": [{"expression": "params.x"}]},
            "validations[0].expression",
            "undeclared reference to 'params'",
        ),
        ({"validations": [{"expression": "'text'"}]}, "validations[0].expression", "must evaluate to bool but got str"),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "validations[0].messageExpression",
            "must evaluate to string but got int",
        ),
        (
            {
                "validations": [
                    {"expression": "true", "messageExpression": "authorizer.path('/').check('get').reason()"}
                ]
            },
            "validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        ({"validations": [{"expression": "true", "reason": "NotFound"}]}, "validations[0].reason", "supported values"),
        ({"variables": [{"name": "for", "expression": "1"}]}, "variables[0].name", "must be a valid CEL identifier"),
        (
            {"variables": [{"name": "b", "expression": "variables.a"}, {"name": "a", "expression": "1"}]},
            "variables[0].expression",
            "undefined field 'a'",
        ),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
            "auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null] but got int",
        ),
        ({"paramKind": {"apiVersion": "a/b/c", "kind": "X"}}, "paramKind.apiVersion", "unexpected GroupVersion string"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(spec: Object, field: str, message: str) -> None:
    assert message in _told(_policy(**spec))[f"spec.{field}"]


def test_policies_read_variables_and_parameters() -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "odd", "expression": "variables.replicas % 2 == 1"},
    ]
    spec: Object = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": variables,
        "validations": [{"expression": "variables.odd && params.data.x == 'y'"}],
    }
    assert not _told(_policy(**spec))


@pytest.mark.parametrize(
    ("mutation", "field", "message"),
    [
        ({"patchType": "Merge"}, "patchType", "supported values"),
        ({"patchType": "JSONPatch"}, "jsonPatch", "must be specified when patchType is JSONPatch"),
        (
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "{'a': 1}"}},
            "applyConfiguration.expression",
            "must evaluate to Object but got map(string, int)",
        ),
        (
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 1}]"}},
            "jsonPatch.expression",
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
    ],
)
def test_what_is_wrong_with_a_mutation_is_told(mutation: Object, field: str, message: str) -> None:
    told = _told(_policy("MutatingAdmissionPolicy", mutations=[mutation]))
    assert message in told[f"spec.mutations[0].{field}"]


def test_a_mutation_has_nothing_wrong_and_mutates_no_deletion() -> None:
    assert not _told(_policy("MutatingAdmissionPolicy"))
    rules = [_rule(operations=["DELETE"])]
    told = _told(_policy("MutatingAdmissionPolicy", matchConstraints={"resourceRules": rules}))
    assert "Unsupported value" in told["spec.matchConstraints.resourceRules.operations"]


def test_bindings_deny_or_warn_and_name_parameters_one_way() -> None:
    binding = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "test"},
        "spec": {
            "policyName": "p",
            "validationActions": ["Deny", "Warn"],
            "paramRef": {"name": "a", "selector": {}},
        },
    }
    told = _told(binding)
    assert "must not contain both Deny and Warn" in told["spec.validationActions"]
    assert told["spec.paramRef.name"] == "Forbidden: name and selector are mutually exclusive"
    assert told["spec.paramRef.parameterNotFoundAction"] == "Required value"
