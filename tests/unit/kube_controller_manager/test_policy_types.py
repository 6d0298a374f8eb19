"""Types of policies' expressions against the schemas of what they are for, in the words of upstream's warnings."""

from __future__ import annotations

from typing import Any

from keelson.api import schemas
from keelson.api.schemas import Schema
from keelson.kube_controller_manager.decisions import policy_types
from keelson.kube_controller_manager.decisions.policy_types import Kind

_CRON_TAB = schemas.structural(
    {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}, "cron": {"type": "string"}}}
        },
    }
)
_DEPLOYMENT, _CRON = Kind("apps", "v1", "Deployment"), Kind("stable.example.com", "v1", "CronTab")


def _kind(group: str, version: str, resource: str) -> Kind | None:
    return {"deployments": _DEPLOYMENT, "crontabs": _CRON}.get(resource)


def _schema(kind: Kind) -> Schema | None:
    if kind == _CRON:
        return _CRON_TAB
    try:
        return schemas.of(schemas.Kind(f"{kind.group}/{kind.version}".lstrip("/"), kind.kind))
    except KeyError:
        return None


def _warnings(*validations: dict[str, str], resource: str = "deployments", **spec: Any) -> list[dict[str, str]]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}
    policy = {"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": list(validations), **spec}}
    return policy_types.warnings(policy, _kind, _schema)


def test_what_fits_gets_no_warning() -> None:
    assert not _warnings({"expression": "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'"})
    assert not _warnings({"expression": "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')"})
    assert not _warnings({"expression": "object.spec.template.spec.containers.all(c, c.image.startsWith('a'))"})


def test_what_does_not_fit_is_told_by_field_and_kind() -> None:
    first, second = _warnings(
        {"expression": "object.spec.replicas > '1'", "messageExpression": "'got ' + object.spec.replicas"}
    )
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert first["warning"].startswith("apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:22: ")
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert second["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in second["warning"]


def test_custom_resources_and_variables_are_checked_too() -> None:
    (unknown,) = _warnings({"expression": "object.spec.maxRetries < 10"}, resource="crontabs")
    assert "undefined field 'maxRetries'" in unknown["warning"]
    variables = [{"name": "cron", "expression": "object.spec.cron"}]
    (confused,) = _warnings({"expression": "variables.cron > 1"}, resource="crontabs", variables=variables)
    assert "applied to '(string, int)'" in confused["warning"]


def test_parameters_have_their_kind() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert not _warnings({"expression": "params.data['a'] == 'b'"}, paramKind=kind)
    (warning,) = _warnings({"expression": "params.data['a'] == 1"}, paramKind=kind)
    assert "applied to '(string, int)'" in warning["warning"]
    unknown = {"apiVersion": "rules.example.com/v1", "kind": "Limit"}
    assert not _warnings({"expression": "params.anything == 1"}, paramKind=unknown)


def test_wildcards_are_not_looked_at() -> None:
    assert not _warnings({"expression": "object.spec.replicas > '1'"}, resource="*")


def test_a_schema_that_holds_itself_ends() -> None:
    schema = schemas.of(schemas.Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"))
    rule = {
        "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["v1"], "operations": ["*"],
        "resources": ["customresourcedefinitions"],
    }  # fmt: skip
    expression = "object.spec.versions.all(v, v.schema.openAPIV3Schema.properties['a'].type == 'string')"
    policy = {"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}}
    kind = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    assert not policy_types.warnings(policy, lambda *_: kind, lambda _: schema)
