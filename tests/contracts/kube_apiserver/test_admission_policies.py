"""Admission policies against the real API server: what they deny, warn of and change, and by whose parameters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

_GROUP = "admissionregistration.k8s.io"


def _deployment(namespace: str, name: str = "one", replicas: int = 1) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
    }
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template},
    }


class _Policies:
    """Policies with their bindings, that end with the test."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._made: list[tuple[str, str]] = []

    async def add(self, kind: str, spec: dict[str, Any], binding: dict[str, Any] | None = None) -> str:
        """A policy on deployments and configmaps of the namespace and its binding, in force; its name."""
        name = f"{self._namespace}-{len(self._made)}.example.com"
        rule = {
            "apiGroups": ["", "apps"],
            "apiVersions": ["v1"],
            "resources": ["deployments", "configmaps"],
            "operations": ["CREATE", "UPDATE"],
        }
        match = {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
        }
        bound = {"policyName": name, **(binding or {})}
        if kind == "validating":
            bound.setdefault("validationActions", ["Deny"])
        else:
            spec = {"reinvocationPolicy": "Never", **spec}
        for resource, stated in (
            (f"{kind}admissionpolicies.{_GROUP}", {"matchConstraints": match, **spec}),
            (f"{kind}admissionpolicybindings.{_GROUP}", bound),
        ):
            await self._client.create(resource, {"metadata": {"name": name}, "spec": stated})
            self._made.append((resource, name))
            # What was acknowledged is in the cache once a consistent list has been answered from it.
            await self._client.list(resource)
        return name

    async def remove(self) -> None:
        """Delete them all."""
        for resource, name in reversed(self._made):
            await self._client.delete(resource, name)
            await self._client.list(resource)


@pytest.fixture
async def policies(client: Client, namespace: str) -> AsyncIterator[_Policies]:
    found = _Policies(client, namespace)
    yield found
    await found.remove()


# --- validating


async def test_an_object_that_breaks_a_rule_is_refused(client: Client, policies: _Policies, namespace: str) -> None:
    name = await policies.add(
        "validating",
        {
            "validations": [
                {
                    "expression": "object.kind != 'Deployment' || object.spec.replicas > 1",
                    "messageExpression": "'wants more than one replica, got ' + string(object.spec.replicas)",
                },
                {"expression": f"namespaceObject.metadata.name == '{namespace}'"},
            ]
        },
    )
    with pytest.raises(StatusError) as caught:
        await client.create("deployments.apps", _deployment(namespace))
    told = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "
    told += "wants more than one replica, got 1"
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == f'deployments.apps "one" is forbidden: {told}'
    assert caught.value.details["causes"] == [{"message": told}]
    await client.create("deployments.apps", _deployment(namespace, replicas=2))


async def test_a_rule_states_its_reason_and_falls_back_to_its_message(
    client: Client, policies: _Policies, namespace: str
) -> None:
    validation = {
        "expression": "has(object.data)",
        "message": "data is wanted",
        # Text and number can't be added: the plain message serves.
        "messageExpression": "'found ' + object.metadata.generation",
        "reason": "Forbidden",
    }
    await policies.add("validating", {"validations": [validation]})
    with pytest.raises(StatusError, match="denied request: data is wanted") as caught:
        await client.create("configmaps", {"metadata": {"name": "one", "namespace": namespace}})
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")


async def test_variables_are_composed_and_read_lazily(client: Client, policies: _Policies, namespace: str) -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "odd", "expression": "variables.replicas % 2 == 1"},
        # Nobody reads it, and so nobody minds that it has no value.
        {"name": "broken", "expression": "object.spec.absent"},
    ]
    validations = [{"expression": "variables.replicas > 1"}, {"expression": "variables.odd"}]
    await policies.add("validating", {"variables": variables, "validations": validations})
    for replicas, rule in ((1, "variables.replicas > 1"), (2, "variables.odd")):
        with pytest.raises(StatusError) as caught:
            await client.create("deployments.apps", _deployment(namespace, replicas=replicas))
        assert caught.value.message.endswith(f"denied request: failed expression: {rule}")
    await client.create("deployments.apps", _deployment(namespace, replicas=3))


async def test_a_failing_expression_is_held_against_the_request_only_where_the_policy_says_so(
    client: Client, policies: _Policies, namespace: str
) -> None:
    broken = [{"expression": "object.data.absent == 'x'"}]
    await policies.add("validating", {"validations": broken, "failurePolicy": "Ignore"})
    await client.create("configmaps", {"metadata": {"name": "one", "namespace": namespace}, "data": {"a": "b"}})
    await policies.add("validating", {"validations": broken})
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", {"metadata": {"name": "two", "namespace": namespace}, "data": {"a": "b"}})
    assert "expression 'object.data.absent == 'x'' resulted in error: no such key: absent" in caught.value.message


async def test_a_binding_may_warn_in_place_of_denying(cluster: Cluster, policies: _Policies, namespace: str) -> None:
    name = await policies.add(
        "validating",
        {"validations": [{"expression": "false", "message": "think again"}]},
        {"validationActions": ["Warn", "Audit"]},
    )
    told = await asyncio.to_thread(
        cluster.kubectl, "create", "configmap", "one", f"--namespace={namespace}", check=False
    )
    warning = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': think again"
    assert f"Warning: {warning}" in told
    assert "configmap/one created" in told


async def test_parameters_come_from_the_objects_that_a_binding_names(
    client: Client, policies: _Policies, namespace: str
) -> None:
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "deployments-only", "expression": "object.kind == 'Deployment'"}],
        "validations": [{"expression": "object.spec.replicas <= int(params.data.most)"}],
    }
    limit = {"metadata": {"name": "limit", "namespace": namespace, "labels": {"limit": "yes"}}, "data": {"most": "2"}}
    await client.create("configmaps", limit)
    await policies.add("validating", spec, {"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}})
    await client.create("deployments.apps", _deployment(namespace, "two", 2))
    with pytest.raises(StatusError, match=r"failed expression: object\.spec\.replicas <= int\(params\.data\.most\)"):
        await client.create("deployments.apps", _deployment(namespace, "three", 3))
    await client.update("configmaps", {**limit, "data": {"most": "3"}})
    await client.list("configmaps", namespace=namespace)
    await client.create("deployments.apps", _deployment(namespace, "three", 3))
    await client.delete("configmaps", "limit", namespace=namespace)
    with pytest.raises(StatusError, match="no params found for policy binding with `Deny` parameterNotFoundAction"):
        await client.create("deployments.apps", _deployment(namespace, "four", 1))


async def test_a_selector_finds_every_parameter(client: Client, policies: _Policies, namespace: str) -> None:
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "deployments-only", "expression": "object.kind == 'Deployment'"}],
        "validations": [{"expression": "object.metadata.name != params.data.taken"}],
    }
    for number in ("1", "2"):
        metadata = {"name": f"taken-{number}", "namespace": namespace, "labels": {"taken": "yes"}}
        await client.create("configmaps", {"metadata": metadata, "data": {"taken": f"name-{number}"}})
    reference = {"selector": {"matchLabels": {"taken": "yes"}}, "parameterNotFoundAction": "Allow"}
    await policies.add("validating", spec, {"paramRef": reference})
    for number in ("1", "2"):
        with pytest.raises(StatusError, match="denied request"):
            await client.create("deployments.apps", _deployment(namespace, f"name-{number}"))
    await client.create("deployments.apps", _deployment(namespace, "name-3"))


async def test_a_kind_of_parameters_that_is_not_there_fails_as_the_policy_says(
    client: Client, policies: _Policies, namespace: str
) -> None:
    spec = {
        "paramKind": {"apiVersion": "rules.example.com/v1", "kind": "Limit"},
        "validations": [{"expression": "params.most > 1"}],
    }
    reference = {"paramRef": {"name": "x", "parameterNotFoundAction": "Deny"}}
    await policies.add("validating", {**spec, "failurePolicy": "Ignore"}, reference)
    await client.create("deployments.apps", _deployment(namespace, "one"))
    await policies.add("validating", spec, reference)
    with pytest.raises(StatusError, match="failed to find resource referenced by paramKind"):
        await client.create("deployments.apps", _deployment(namespace, "two"))


async def test_an_expression_without_end_is_stopped_by_its_price(
    client: Client, policies: _Policies, namespace: str
) -> None:
    digits = "[0,1,2,3,4,5,6,7,8,9]"
    dear = "a + b + c + d + e + f + g >= 0"
    for name in "gfedcba":
        dear = f"{digits}.all({name}, {dear})"
    await policies.add("validating", {"validations": [{"expression": f"{dear}"}]})
    # Other requests are served while it runs.
    denied = asyncio.create_task(client.create("configmaps", {"metadata": {"name": "one", "namespace": namespace}}))
    while not denied.done():
        async with asyncio.timeout(2):
            await client.get("namespaces", namespace)
    with pytest.raises(StatusError, match="cost limit exceeded"):
        await denied


async def test_an_expression_may_ask_what_the_requester_is_allowed(
    cluster: Cluster, client: Client, policies: _Policies, namespace: str
) -> None:
    check = "authorizer.group('').resource('configmaps').namespace('{}').check('label').allowed()"
    own = "authorizer.requestResource.check('create').allowed()"
    await policies.add("validating", {"validations": [{"expression": check.format(namespace)}, {"expression": own}]})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}
    for suffix, verbs in (("plain", ["create"]), ("trusted", ["create", "label"])):
        role = {"metadata": {"name": suffix, "namespace": namespace}, "rules": [{**rule, "verbs": verbs}]}
        await client.create("roles.rbac.authorization.k8s.io", role)
        binding = {
            "metadata": {"name": suffix, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": suffix},
            "subjects": [{"kind": "User", "name": suffix, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        await client.create("rolebindings.rbac.authorization.k8s.io", binding)
    await client.list("rolebindings.rbac.authorization.k8s.io")
    for user, created in (("plain", False), ("trusted", True)):
        told = await asyncio.to_thread(
            cluster.kubectl, "create", "configmap", user, f"--namespace={namespace}",
            kubeconfig=cluster.kubeconfig(user, ()), check=False,
        )  # fmt: skip
        assert ("created" in told) is created, told


# --- mutating


def _apply(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def _patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def test_an_apply_configuration_is_merged_in(client: Client, policies: _Policies, namespace: str) -> None:
    container = "Object.spec.template.spec.initContainers{name: 'added', image: 'example.com/added'}"
    template = f"Object.spec.template{{spec: Object.spec.template.spec{{initContainers: [{container}]}}}}"
    await policies.add(
        "mutating",
        {
            "matchConditions": [{"name": "deployments-only", "expression": "object.kind == 'Deployment'"}],
            "variables": [{"name": "replicas", "expression": "object.spec.replicas + 1"}],
            "mutations": [
                _apply(f"Object{{spec: Object.spec{{replicas: variables.replicas, template: {template}}}}}"),
                _apply("Object{metadata: Object.metadata{annotations: {'mutated-by': 'policy'}}}"),
            ],
        },
    )
    made = await client.create("deployments.apps", _deployment(namespace))
    assert made["spec"]["replicas"] == 2
    assert made["metadata"]["annotations"]["mutated-by"] == "policy"
    spec = made["spec"]["template"]["spec"]
    assert [each["name"] for each in spec["containers"]] == ["main"]
    (added,) = spec["initContainers"]
    assert (added["name"], added["terminationMessagePolicy"]) == ("added", "File")


async def test_json_patches_change_what_they_point_at(client: Client, policies: _Policies, namespace: str) -> None:
    key = "jsonpatch.escapeKey('example.com/team')"
    operations = "[" + ", ".join(
        [
            "JSONPatch{op: 'test', path: '/data/team', value: 'a'}",
            "JSONPatch{op: 'add', path: '/metadata/labels', value: {'plain': 'yes'}}",
            f"JSONPatch{{op: 'add', path: '/metadata/labels/' + {key}, value: object.data.team}}",
            # What is not there is replaced too, as upstream has it.
            "JSONPatch{op: 'replace', path: '/data/absent', value: 'there'}",
        ]
    ) + "]"  # fmt: skip
    await policies.add("mutating", {"mutations": [_patch(operations)]})
    made = await client.create(
        "configmaps", {"metadata": {"name": "one", "namespace": namespace}, "data": {"team": "a"}}
    )
    assert made["metadata"]["labels"] == {"plain": "yes", "example.com/team": "a"}
    assert made["data"]["absent"] == "there"
    # A test that fails leaves the object as it is.
    other = await client.create(
        "configmaps", {"metadata": {"name": "two", "namespace": namespace}, "data": {"team": "b"}}
    )
    assert "labels" not in other["metadata"]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("Object{spec: Object.spec{nowhere: 1}}", "field not declared in schema"),
        ("Object{spec: Object.spec{replicas: '7'}}", "failed to convert patch object to typed object"),
        ("Object{spec: Object.spec{selector: Object.spec.wrong{}}}", "type mismatch: unexpected type name"),
        (
            "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}",
            "may not mutate atomic arrays, maps or structs: .spec.selector",
        ),
    ],
)
async def test_a_mutation_that_does_not_fit_is_refused(
    client: Client, policies: _Policies, namespace: str, expression: str, why: str
) -> None:
    name = await policies.add("mutating", {"mutations": [_apply(expression)]})
    with pytest.raises(StatusError) as caught:
        await client.create("deployments.apps", _deployment(namespace))
    assert why in caught.value.message
    assert caught.value.message.startswith(f"policy '{name}' with binding '{name}' denied request: ")
    assert (caught.value.code, caught.value.reason) == (403, "Invalid")


async def test_mutations_are_seen_by_validations_and_later_policies(
    client: Client, policies: _Policies, namespace: str
) -> None:
    await policies.add("mutating", {"mutations": [_apply("Object{data: Object.data{first: '1'}}")]})
    await policies.add(
        "mutating",
        {"mutations": [_apply("Object{data: {'second': has(object.data.first) ? 'after' : 'before'}}")]},
    )
    await policies.add("validating", {"validations": [{"expression": "object.data.second == 'after'"}]})
    made = await client.create("configmaps", {"metadata": {"name": "one", "namespace": namespace}})
    assert made["data"] == {"first": "1", "second": "after"}
    made["data"] = {}
    assert (await client.update("configmaps", made))["data"] == {"first": "1", "second": "after"}
