"""Admission webhooks against the real API server: who is called, with what, and what the answers do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.webhook_servers import Review, WebhookServer, denied, patch

_VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
_MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    async with WebhookServer(tmp_path) as found:
        found.reviews["/allow"] = lambda _request: {"allowed": True}
        found.reviews["/deny"] = lambda _request: denied("not here", reason="Policy", code=403)
        yield found


def _rule(resources: str = "configmaps", operations: str = "CREATE UPDATE DELETE", group: str = "") -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": resources.split(),
        "operations": operations.split(),
    }


def _hook(server: WebhookServer, path: str, namespace: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "one.example.com",
        "clientConfig": server.config(path),
        "rules": [_rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        **more,
    }


class _Hooks:
    """Configurations that end with the test."""

    def __init__(self, client: Client, server: WebhookServer, namespace: str) -> None:
        self._client = client
        self._server = server
        self.namespace = namespace
        self._made: list[tuple[str, str]] = []

    async def add(self, resource: str, *hooks: dict[str, Any], name: str = "") -> None:
        """Create a configuration and wait until the server has it."""
        name = name or f"{self.namespace}-{len(self._made)}"
        await self._client.create(resource, {"metadata": {"name": name}, "webhooks": list(hooks)})
        self._made.append((resource, name))
        await self.effective(resource)

    async def effective(self, resource: str) -> None:
        """What was acknowledged before is in force: a consistent list has brought it to the cache."""
        await self._client.list(resource)

    async def remove(self) -> None:
        """Delete them all."""
        for resource, name in self._made:
            await self._client.delete(resource, name)
            await self.effective(resource)


@pytest.fixture
async def hooks(client: Client, server: WebhookServer, namespace: str) -> AsyncIterator[_Hooks]:
    found = _Hooks(client, server, namespace)
    yield found
    await found.remove()


def _config_map(namespace: str, name: str = "one", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


async def test_a_refusal_is_told_in_its_own_words(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace))
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", _config_map(namespace))
    assert caught.value.message == 'admission webhook "one.example.com" denied the request: not here'
    assert (caught.value.code, caught.value.reason) == (403, "Policy")


async def test_a_webhook_is_told_who_does_what(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    await hooks.add(_VALIDATING, _hook(server, "/allow", namespace))
    await client.create("configmaps", _config_map(namespace, key="before"))
    await client.update("configmaps", _config_map(namespace, key="after"))
    await client.delete("configmaps", "one", namespace=namespace)
    (path, created), (_, updated), (_, deleted) = server.asked
    assert path == "/allow?timeout=5s"
    assert created["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"} == created["requestKind"]
    assert created["resource"] == {"group": "", "version": "v1", "resource": "configmaps"} == created["requestResource"]
    assert (created["operation"], created["name"], created["namespace"]) == ("CREATE", "one", namespace)
    assert created["userInfo"]["username"] == "admin"
    assert "system:masters" in created["userInfo"]["groups"]
    assert created["object"]["data"] == {"key": "before"}
    assert created["object"]["metadata"]["uid"]
    assert created["oldObject"] is None
    assert created["dryRun"] is False
    assert created["options"]["kind"] == "CreateOptions"
    assert (updated["oldObject"]["data"], updated["object"]["data"]) == ({"key": "before"}, {"key": "after"})
    assert updated["options"]["kind"] == "UpdateOptions"
    assert (deleted["object"], deleted["oldObject"]["data"]) == (None, {"key": "after"})
    assert deleted["options"]["kind"] == "DeleteOptions"
    assert len({request["uid"] for _, request in server.asked}) == 3


async def test_a_deleted_collection_is_asked_about_object_by_object(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    for name in ("one", "two", "three"):
        await client.create("secrets", {"metadata": {"name": name, "namespace": namespace}})

    def keep_two(request: Review) -> Review:
        # Of a collection no name is told; the object has it.
        assert "name" not in request
        return denied("kept") if request["oldObject"]["metadata"]["name"] == "two" else {"allowed": True}

    server.reviews["/keep"] = keep_two
    await hooks.add(_VALIDATING, _hook(server, "/keep", namespace, rules=[_rule("secrets", "DELETE")]))
    with pytest.raises(StatusError, match="denied the request: kept"):
        await client.delete_collection("secrets", namespace=namespace)
    assert "two" in {item["metadata"]["name"] for item in (await client.list("secrets", namespace=namespace))["items"]}


async def test_webhooks_change_objects_one_after_the_other_and_defaults_are_filled_in(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    def add_container(request: Review) -> Review:
        assert "uid" not in request["object"]["metadata"]
        container = {"name": "added", "image": "example.com/added"}
        return patch({"op": "add", "path": "/spec/initContainers", "value": [container]})

    def see_container(request: Review) -> Review:
        seen = request["object"]["spec"]["initContainers"][0]["terminationMessagePolicy"]
        return patch({"op": "add", "path": "/metadata/labels", "value": {"seen": seen}})

    server.reviews |= {"/add": add_container, "/see": see_container}
    rules = [_rule("pods", "CREATE")]
    await hooks.add(
        _MUTATING,
        _hook(server, "/add", namespace, name="a.example.com", rules=rules),
        _hook(server, "/see", namespace, name="b.example.com", rules=rules),
    )
    pod = {
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
    }
    made = await client.create("pods", pod)
    (added,) = made["spec"]["initContainers"]
    assert added["terminationMessagePolicy"] == "File"
    assert made["metadata"]["labels"] == {"seen": "File"}
    # The service account's token is mounted in what was added after the plugin had its first turn.
    assert any(mount["mountPath"].endswith("serviceaccount") for mount in added["volumeMounts"])
    assert made["metadata"]["uid"]


async def test_an_earlier_webhook_sees_what_a_later_one_changed_where_it_asks_for_it(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    def count(key: str) -> Any:
        def answer(request: Review) -> Review:
            data = request["object"].get("data") or {}
            number = str(int(data.get(key, "0")) + 1)
            return patch({"op": "add", "path": f"/data/{key}", "value": number})

        return answer

    for key in ("never", "needed", "last"):
        server.reviews[f"/{key}"] = count(key)
    await hooks.add(
        _MUTATING,
        _hook(server, "/never", namespace, name="a.example.com", rules=[_rule(operations="CREATE")]),
        _hook(
            server, "/needed", namespace, name="b.example.com",
            rules=[_rule(operations="CREATE")], reinvocationPolicy="IfNeeded",
        ),
        _hook(server, "/last", namespace, name="c.example.com", rules=[_rule(operations="CREATE")]),
    )  # fmt: skip
    made = await client.create("configmaps", _config_map(namespace, start="0"))
    assert made["data"] == {"start": "0", "never": "1", "needed": "2", "last": "1"}


async def test_a_failing_webhook_refuses_or_is_passed_over_as_it_says(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    async def broken(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=500, text="broken")

    server.raw["/broken"] = broken
    await hooks.add(_VALIDATING, _hook(server, "/broken", namespace, failurePolicy="Ignore"))
    await client.create("configmaps", _config_map(namespace))
    await hooks.add(_VALIDATING, _hook(server, "/broken", namespace, failurePolicy="Fail"))
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", _config_map(namespace, "two"))
    assert (caught.value.code, caught.value.reason) == (500, "InternalError")
    assert 'Internal error occurred: failed calling webhook "one.example.com": failed to call webhook: an error on the '
    assert 'server ("broken") has prevented the request from succeeding' in caught.value.message


async def test_a_hung_webhook_holds_a_request_for_its_timeout_and_no_longer(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    server.raw["/hang"] = server.hang
    await hooks.add(_VALIDATING, _hook(server, "/hang", namespace, timeoutSeconds=1))
    started = time.monotonic()
    with pytest.raises(StatusError, match="context deadline exceeded") as caught:
        await client.create("configmaps", _config_map(namespace))
    assert 0.9 <= time.monotonic() - started < 4
    assert caught.value.code == 500
    with pytest.raises(StatusError, match="not found"):
        await client.get("configmaps", "one", namespace=namespace)


async def test_a_redirect_is_not_followed(client: Client, server: WebhookServer, hooks: _Hooks, namespace: str) -> None:
    followed = []

    async def moved(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": f"https://127.0.0.1:{server.port}/elsewhere"})

    async def elsewhere(_request: web.BaseRequest) -> web.Response:
        followed.append(True)
        return web.Response(status=500)

    server.raw |= {"/moved": moved, "/elsewhere": elsewhere}
    await hooks.add(_VALIDATING, _hook(server, "/moved", namespace))
    with pytest.raises(StatusError, match="redirect"):
        await client.create("configmaps", _config_map(namespace))
    assert not followed


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}, "webhook response was absent"),
        (
            {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x", "allowed": True}},
            'expected response.uid="',
        ),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str, answer: dict[str, Any], why: str
) -> None:
    async def wrong(_request: web.BaseRequest) -> web.Response:
        return web.json_response(answer)

    server.raw["/wrong"] = wrong
    await hooks.add(_VALIDATING, _hook(server, "/wrong", namespace))
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", _config_map(namespace))
    assert f'failed calling webhook "one.example.com": received invalid webhook response: {why}' in caught.value.message


async def test_an_answer_in_an_older_version_than_asked_for_is_a_failure(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    async def older(request: web.BaseRequest) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        response = {"uid": uid, "allowed": True}
        return web.json_response(
            {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "response": response}
        )

    server.raw["/older"] = older
    await hooks.add(_VALIDATING, _hook(server, "/older", namespace))
    with pytest.raises(
        StatusError, match=r"converting \(v1beta1\.AdmissionReview\) to \(v1\.AdmissionReview\): unknown conversion"
    ):
        await client.create("configmaps", _config_map(namespace))


async def test_a_patch_that_breaks_the_object_is_the_webhooks_fault(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    server.reviews["/bad"] = lambda _request: patch({"op": "add", "path": "/data", "value": 7})
    await hooks.add(_MUTATING, _hook(server, "/bad", namespace))
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", _config_map(namespace))
    assert caught.value.code == 500


async def test_a_dry_run_calls_no_webhook_with_effects(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    await hooks.add(_VALIDATING, _hook(server, "/allow", namespace, sideEffects="NoneOnDryRun"))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    headers = {"Content-Type": "application/json"}
    body = orjson.dumps(_config_map(namespace))
    await client.request("POST", path, query={"dryRun": "All"}, body=body, headers=headers)
    ((_, request),) = server.asked
    assert request["dryRun"] is True
    assert request["options"]["dryRun"] == ["All"]


async def test_conditions_and_selectors_spare_what_they_leave_out(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    conditions = [{"name": "not-spared", "expression": "object.metadata.name != 'spared'"}]
    await hooks.add(
        _VALIDATING,
        _hook(server, "/deny", namespace, name="a.example.com", matchConditions=conditions),
        _hook(server, "/deny", namespace, name="b.example.com", objectSelector={"matchLabels": {"deny": "yes"}},
              matchConditions=[]),
    )  # fmt: skip
    await client.create("configmaps", _config_map(namespace, "spared"))
    labelled = _config_map(namespace, "spared-not")
    with pytest.raises(StatusError, match=r'"a.example.com" denied'):
        await client.create("configmaps", labelled)
    labelled = _config_map(namespace, "spared")
    labelled["metadata"]["labels"] = {"deny": "yes"}
    with pytest.raises(StatusError, match=r'"b.example.com" denied'):
        await client.update("configmaps", labelled)


async def test_a_condition_may_ask_the_authorizer(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    expression = "!authorizer.group('').resource('configmaps').namespace('{}').check('breakglass').allowed()"
    conditions = [{"name": "breakglass", "expression": expression.format(namespace)}]
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, matchConditions=conditions))
    # Masters may do everything, and so the webhook is spared them.
    await client.create("configmaps", _config_map(namespace))
    assert not server.asked


async def test_a_condition_that_fails_refuses_or_spares_as_the_failure_policy_says(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    conditions = [{"name": "broken", "expression": "object.data.absent == 'x'"}]
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, matchConditions=conditions, failurePolicy="Ignore"))
    await client.create("configmaps", _config_map(namespace, "open", key="value"))
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, matchConditions=conditions))
    with pytest.raises(StatusError, match="no such key: absent") as caught:
        await client.create("configmaps", _config_map(namespace, "closed", key="value"))
    assert caught.value.code == 403


async def test_another_version_of_the_resource_is_matched_and_shown(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    rule = {**_rule("events", "CREATE", "events.k8s.io"), "apiVersions": ["v1"]}
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, rules=[rule], matchPolicy="Equivalent"))
    event = {
        "metadata": {"name": "one", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
        "message": "hello", "reason": "Test", "type": "Normal",
    }  # fmt: skip
    with pytest.raises(StatusError, match="denied"):
        await client.create("events", event)
    ((_, request),) = server.asked
    assert request["kind"] == {"group": "events.k8s.io", "version": "v1", "kind": "Event"}
    assert request["requestKind"] == {"group": "", "version": "v1", "kind": "Event"}
    assert request["object"]["note"] == "hello"


async def test_configurations_of_admission_are_nobodys_to_refuse(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
    exempt = [{"name": "only-this", "expression": "request.resource.group == 'admissionregistration.k8s.io'"}]
    hook = _hook(server, "/deny", namespace, rules=[everything], matchConditions=exempt)
    del hook["namespaceSelector"]
    await hooks.add(_VALIDATING, hook)
    await hooks.add(_MUTATING, _hook(server, "/deny", namespace))
    assert not server.asked


async def test_subresources_are_matched_by_their_own_rules(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
    }
    deployment = {
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template},
    }
    await client.create("deployments.apps", deployment)
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, rules=[_rule("deployments/scale", "*", "apps")]))
    scale = {"metadata": {"name": "one", "namespace": namespace}, "spec": {"replicas": 3}}
    with pytest.raises(StatusError, match="denied"):
        await client.update("deployments.apps", scale, subresource="scale")
    ((_, request),) = server.asked
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (request["subResource"], request["operation"]) == ("scale", "UPDATE")
    assert (request["oldObject"]["spec"], request["object"]["spec"]) == ({"replicas": 1}, {"replicas": 3})
    # The object itself is another resource.
    deployment["spec"]["replicas"] = 2  # type: ignore[index]
    await client.update("deployments.apps", deployment)


async def test_warnings_reach_the_client(
    cluster: Cluster, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    server.reviews["/warn"] = lambda _request: {"allowed": True, "warnings": ["mind the gap"]}
    await hooks.add(_VALIDATING, _hook(server, "/warn", namespace))
    told = await asyncio.to_thread(
        cluster.kubectl, "create", "configmap", "one", f"--namespace={namespace}", check=False
    )
    assert "Warning: mind the gap" in told


async def test_validating_webhooks_are_asked_at_the_same_time(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    waiting = 0
    both = asyncio.Event()

    async def together(request: web.BaseRequest) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == 2:
            both.set()
        await both.wait()
        review = await request.json()
        return web.json_response({**review, "response": {"uid": review["request"]["uid"], "allowed": True}})

    server.raw["/together"] = together
    await hooks.add(
        _VALIDATING,
        _hook(server, "/together", namespace, name="a.example.com"),
        _hook(server, "/together", namespace, name="b.example.com"),
    )
    await client.create("configmaps", _config_map(namespace))
    assert waiting == 2


async def test_a_generated_name_is_told_to_those_who_can_no_longer_change_it(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    rules = [_rule(operations="CREATE")]
    await hooks.add(_MUTATING, _hook(server, "/allow", namespace, rules=rules))
    await hooks.add(_VALIDATING, _hook(server, "/allow", namespace, rules=rules))
    metadata = {"generateName": "made-", "namespace": namespace}
    made = await client.create("configmaps", {"metadata": metadata})
    (_, before), (_, after) = server.asked
    assert "name" not in before
    assert "name" not in before["object"]["metadata"]
    assert after["name"] == after["object"]["metadata"]["name"] == made["metadata"]["name"]
    # A webhook may give the name itself.
    server.reviews["/name"] = lambda _request: patch({"op": "add", "path": "/metadata/name", "value": "chosen"})
    await hooks.add(_MUTATING, _hook(server, "/name", namespace, rules=rules))
    assert (await client.create("configmaps", {"metadata": metadata}))["metadata"]["name"] == "chosen"


async def test_connections_are_admitted_before_they_are_made(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    rule = {**_rule("pods/exec pods/attach", "CONNECT")}
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, rules=[rule]))
    for verb, kind, query in (
        ("exec", "PodExecOptions", {"command": "ls", "container": "main", "stdout": "true"}),
        ("attach", "PodAttachOptions", {"stdin": "true"}),
    ):
        with pytest.raises(StatusError, match="denied the request: not here"):
            await client.request("POST", f"/api/v1/namespaces/{namespace}/pods/one/{verb}", query=query)
        _, request = server.asked[-1]
        assert (request["operation"], request["subResource"], request["name"]) == ("CONNECT", verb, "one")
        assert request["kind"] == {"group": "", "version": "v1", "kind": kind}
        assert request["options"] is None
    assert server.asked[0][1]["object"] == {
        "kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "container": "main", "command": ["ls"],
    }  # fmt: skip


async def test_kubectl_applies_what_webhooks_made_of_it(
    cluster: Cluster, client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    server.reviews["/label"] = lambda _request: patch({"op": "add", "path": "/metadata/labels", "value": {"team": "a"}})
    await hooks.add(_MUTATING, _hook(server, "/label", namespace))
    manifest = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: one, namespace: {namespace}}}
data: {{key: first}}
"""
    for content in ("first", "second"):
        for flags in ((), ("--server-side", "--force-conflicts")):
            told = await asyncio.to_thread(
                cluster.kubectl, "apply", "-f", "-", *flags, input=manifest.replace("first", content)
            )
            assert told.startswith("configmap/one")
            found = await client.get("configmaps", "one", namespace=namespace)
            assert (found["data"], found["metadata"]["labels"]) == ({"key": content}, {"team": "a"})


async def test_custom_resources_are_changed_pruned_and_shown_in_another_version(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {"data": {"type": "object", "properties": {"start": text, "one": text}}},
    }
    group = f"{namespace}.example.com"
    version = {"served": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{**version, "name": "v1", "storage": True}, {**version, "name": "v2", "storage": False}],
        },
    }
    await client.create("customresourcedefinitions.apiextensions.k8s.io", definition)

    def add(key: str) -> Any:
        def answer(request: Review) -> Review:
            assert request["kind"]["version"] == request["object"]["apiVersion"].rpartition("/")[2] == "v2"
            assert request["requestKind"]["version"] == "v1"
            return patch({"op": "add", "path": f"/data/{key}", "value": "yes"})

        return answer

    server.reviews |= {"/one": add("one"), "/two": add("two")}
    rule = {"apiGroups": [group], "apiVersions": ["v2"], "resources": ["widgets"], "operations": ["CREATE"]}
    await hooks.add(
        _MUTATING,
        _hook(server, "/one", namespace, name="one.example.com", rules=[rule]),
        _hook(server, "/two", namespace, name="two.example.com", rules=[rule]),
    )
    body = {
        "apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "a"}, "data": {"start": "yes"},
    }  # fmt: skip
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    made = orjson.loads(
        await client.request("POST", path, body=orjson.dumps(body), headers={"Content-Type": "application/json"})
    )
    assert made["apiVersion"] == f"{group}/v1"
    assert made["data"] == {"start": "yes", "one": "yes"}


async def test_what_webhooks_did_is_counted(
    client: Client, server: WebhookServer, hooks: _Hooks, namespace: str
) -> None:
    name = f"{namespace}.counted.example.com"
    await hooks.add(_VALIDATING, _hook(server, "/deny", namespace, name=name))
    with pytest.raises(StatusError, match="denied"):
        await client.create("configmaps", _config_map(namespace))
    told = (await client.request("GET", "/metrics")).decode()
    labels = f'name="{name}",operation="CREATE"'
    counted = [line for line in told.splitlines() if labels in line and not line.startswith("#")]
    kinds = {line.partition("{")[0] for line in counted}
    assert "apiserver_admission_webhook_admission_duration_seconds_count" in kinds
    assert "apiserver_admission_webhook_rejection_count" in kinds
    assert "apiserver_admission_webhook_request_total" in kinds
    assert any('error_type="no_error"' in line and 'rejection_code="403"' in line for line in counted)
