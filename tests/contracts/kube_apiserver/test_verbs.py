"""The verbs on a real server: what each does to an object, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keelson.api.errors import StatusError
from keelson.client import rest
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def pod(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "image"}], **spec},
    }


async def test_create_fills_in_and_get_shows_it(client: Client, namespace: str) -> None:
    made = await client.create("pods", pod(namespace, "p"))
    assert made["metadata"]["uid"]
    assert made["spec"]["restartPolicy"] == "Always"
    assert made["spec"]["serviceAccountName"] == "default"
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert await client.get("pods", "p", namespace=namespace) == made


async def test_generated_names_differ(client: Client, namespace: str) -> None:
    body = {"metadata": {"generateName": "x-", "namespace": namespace}}
    names = {(await client.create("configmaps", body))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


async def test_refusals_of_create(client: Client, namespace: str) -> None:
    await client.create("configmaps", config_map(namespace, "a"))
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", config_map(namespace, "a"))
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", config_map(namespace, "Not_A_Name"))
    assert caught.value.code == 422
    assert caught.value.details["causes"][0]["field"] == "metadata.name"
    with pytest.raises(StatusError) as caught:
        await client.create("configmaps", config_map("missing", "a"))
    assert caught.value.message == 'namespaces "missing" not found'


async def test_updates_need_the_version_that_they_read(client: Client, namespace: str) -> None:
    first = await client.create("configmaps", config_map(namespace, "a", k="1"))
    second = await client.update("configmaps", {**first, "data": {"k": "2"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    with pytest.raises(StatusError) as caught:
        await client.update("configmaps", {**first, "data": {"k": "3"}})
    assert caught.value.reason == "Conflict"
    unchanged = await client.update("configmaps", second)
    assert unchanged["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_of_concurrent_unconditional_patches_none_is_lost(client: Client, namespace: str) -> None:
    await client.create("configmaps", config_map(namespace, "a"))
    await asyncio.gather(
        *(client.patch("configmaps", "a", {"data": {f"k{n}": "v"}}, namespace=namespace) for n in range(16))
    )
    found = await client.get("configmaps", "a", namespace=namespace)
    assert sorted(found["data"]) == sorted(f"k{n}" for n in range(16))


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (rest.JSON_PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]),
        (rest.MERGE_PATCH, {"metadata": {"labels": {"a": "b"}}}),
        (rest.STRATEGIC_PATCH, {"metadata": {"labels": {"a": "b"}}}),
    ],
)
async def test_patches(client: Client, namespace: str, kind: str, patch: Any) -> None:
    await client.create("configmaps", config_map(namespace, "a", k="1"))
    found = await client.patch("configmaps", "a", patch, namespace=namespace, kind=kind)
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["data"] == {"k": "1"}


async def test_apply_refuses_what_the_schema_has_no_field_for(client: Client, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", **pod(namespace, "p")}
    body["spec"]["containers"][0]["imag"] = "x"
    with pytest.raises(StatusError) as caught:
        await client.apply("pods", body, field_manager="one")
    assert caught.value.code == 400
    assert caught.value.message == (
        f"failed to create typed patch object ({namespace}/p; v1, Kind=Pod): "
        '.spec.containers[name="main"].imag: field not declared in schema'
    )


async def test_apply_tells_of_keys_that_occur_twice(cluster: Cluster, namespace: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: one\n  k: two\n"
    path = f"/api/v1/namespaces/{namespace}/configmaps/a?fieldManager=suite&fieldValidation="
    headers = {"Content-Type": "application/apply-patch+yaml"}
    async with cluster.session() as session:
        async with session.patch(path + "Strict", data=text, headers=headers) as answer:
            assert answer.status == 400
            assert (await answer.json())["message"] == (
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
                '  line 7: key "k" already set in map'
            )
        async with session.patch(path + "Warn", data=text, headers=headers) as answer:
            assert answer.status == 201
            assert 'line 7: key \\"k\\" already set in map' in answer.headers["Warning"]


async def test_apply_names_its_manager(cluster: Cluster, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    async with cluster.session() as session:
        for query in ("", "?fieldValidation=Warn"):
            async with session.patch(path + query, json=body, headers=headers) as answer:
                assert answer.status == 422
                assert (await answer.json())["message"] == (
                    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
                )
        async with session.patch(path + "?fieldManager=suite", json=body, headers=headers) as answer:
            assert answer.status == 201


async def test_apply_of_what_is_there_changes_nothing(client: Client, namespace: str) -> None:
    # The claims are one list, which the server completes: each apply states another value than the stored one.
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    labels = {"app": "a"}
    spec = {
        "serviceName": "a",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        "volumeClaimTemplates": [claim],
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a", "namespace": namespace}}
    first = await client.apply("statefulsets.apps", {**body, "spec": spec}, field_manager="one")
    # Times are told in seconds.
    await asyncio.sleep(1.1)
    second = await client.apply("statefulsets.apps", {**body, "spec": spec}, field_manager="one")
    assert second["metadata"] == first["metadata"]


async def test_apply_creates_owns_and_conflicts(client: Client, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(namespace, "a", k="1")}
    made = await client.apply("configmaps", body, field_manager="one")
    assert [entry["operation"] for entry in made["metadata"]["managedFields"]] == ["Apply"]
    with pytest.raises(StatusError) as caught:
        await client.apply("configmaps", {**body, "data": {"k": "2"}}, field_manager="two")
    assert caught.value.details["causes"][0]["field"] == ".data.k"
    forced = await client.apply("configmaps", {**body, "data": {"k": "2"}}, field_manager="two", force=True)
    assert forced["data"] == {"k": "2"}


async def test_status_and_spec_take_different_roads(client: Client, namespace: str) -> None:
    made = await client.create("pods", pod(namespace, "p"))
    made["status"]["phase"] = "Running"
    assert (await client.update("pods", made))["status"]["phase"] == "Pending"
    assert (await client.update_status("pods", made))["status"]["phase"] == "Running"


async def test_pods_end_gracefully_and_by_force(client: Client, namespace: str) -> None:
    await client.create("pods", pod(namespace, "p"))
    binding = {"metadata": {"name": "p", "namespace": namespace}, "target": {"kind": "Node", "name": "n"}}
    await client.create("pods", binding, name="p", subresource="binding")
    going = await client.delete("pods", "p", namespace=namespace)
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    still = await client.get("pods", "p", namespace=namespace)
    assert still["metadata"]["deletionTimestamp"]
    await client.delete("pods", "p", namespace=namespace, grace_period_seconds=0)
    with pytest.raises(StatusError) as caught:
        await client.get("pods", "p", namespace=namespace)
    assert caught.value.code == 404


async def test_finalizers_hold_an_object(client: Client, namespace: str) -> None:
    body = config_map(namespace, "a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create("configmaps", body)
    await client.delete("configmaps", "a", namespace=namespace)
    held = await client.get("configmaps", "a", namespace=namespace)
    assert held["metadata"]["deletionTimestamp"]
    await client.patch("configmaps", "a", {"metadata": {"finalizers": None}}, namespace=namespace)
    with pytest.raises(StatusError):
        await client.get("configmaps", "a", namespace=namespace)


async def test_preconditions_of_delete(client: Client, namespace: str) -> None:
    await client.create("configmaps", config_map(namespace, "a"))
    with pytest.raises(StatusError) as caught:
        await client.delete("configmaps", "a", namespace=namespace, uid="other")
    assert caught.value.reason == "Conflict"


async def test_delete_collection_takes_what_is_selected(client: Client, namespace: str) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = config_map(namespace, name)
        body["metadata"]["labels"] = {"l": label}
        await client.create("configmaps", body)
    await client.delete_collection("configmaps", namespace=namespace, label_selector="l=x")
    left = await client.list("configmaps", namespace=namespace)
    assert [each["metadata"]["name"] for each in left["items"]] == ["c"]


async def test_pages_show_one_moment(client: Client, namespace: str) -> None:
    for name in "abcde":
        await client.create("configmaps", config_map(namespace, name, v="old"))
    first = await client.list("configmaps", namespace=namespace, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    await client.patch("configmaps", "d", {"data": {"v": "new"}}, namespace=namespace)
    await client.delete("configmaps", "e", namespace=namespace)
    rest_of = await client.list("configmaps", namespace=namespace, continue_=first["metadata"]["continue"])
    assert [(each["metadata"]["name"], each["data"]["v"]) for each in rest_of["items"]] == [
        ("c", "old"),
        ("d", "old"),
        ("e", "old"),
    ]
    assert rest_of["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_selectors(client: Client, namespace: str) -> None:
    await client.create("pods", pod(namespace, "a", nodeName="n1"))
    await client.create("pods", pod(namespace, "b", nodeName="n2"))
    found = await client.list("pods", namespace=namespace, field_selector="spec.nodeName=n2")
    assert [each["metadata"]["name"] for each in found["items"]] == ["b"]
    with pytest.raises(StatusError) as caught:
        await client.list("pods", namespace=namespace, field_selector="spec.nosuch=1")
    assert caught.value.code == 400


async def test_services_get_an_address_and_give_it_back(client: Client, namespace: str) -> None:
    body = {
        "metadata": {"name": "s", "namespace": namespace},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    made = await client.create("services", body)
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert address.startswith("10.96.")
    assert 30000 <= port <= 32767
    taken = {**body, "metadata": {"name": "t", "namespace": namespace}}
    taken["spec"] = {**body["spec"], "ports": [{"port": 80, "protocol": "TCP", "nodePort": port}]}  # type: ignore[dict-item]
    with pytest.raises(StatusError) as caught:
        await client.create("services", taken)
    assert "already allocated" in caught.value.message
    await client.delete("services", "s", namespace=namespace)
    again = await client.create("services", taken)
    assert again["spec"]["ports"][0]["nodePort"] == port
    with pytest.raises(StatusError):
        await client.get("ipaddresses.networking.k8s.io", address)


async def test_scale(client: Client, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await client.create(
        "deployments.apps",
        {
            "metadata": {"name": "d", "namespace": namespace},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template},
        },
    )
    scale = await client.get("deployments.apps", "d", namespace=namespace, subresource="scale")
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (1, "a=b")
    scale["spec"]["replicas"] = 4
    await client.update("deployments.apps", scale, subresource="scale")
    assert (await client.get("deployments.apps", "d", namespace=namespace))["spec"]["replicas"] == 4


async def test_evictions_obey_budgets(client: Client, namespace: str) -> None:
    body = pod(namespace, "p")
    body["metadata"]["labels"] = {"app": "x"}
    made = await client.create("pods", body)
    made["status"]["phase"] = "Running"
    made["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    await client.update_status("pods", made)
    await client.create(
        "poddisruptionbudgets.policy",
        {
            "metadata": {"name": "b", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        },
    )
    with pytest.raises(StatusError) as caught:
        await client.evict(namespace, "p")
    assert caught.value.code == 429


async def test_secrets_are_encrypted_in_the_store(cluster: Cluster, client: Client, namespace: str) -> None:
    await client.create(
        "secrets", {"metadata": {"name": "s", "namespace": namespace}, "stringData": {"word": "open-sesame"}}
    )
    stored = await cluster.stored(f"/registry/secrets/{namespace}/s")
    assert stored.startswith(b"k8s:enc:secretbox:v1:one:")
    found = await client.get("secrets", "s", namespace=namespace)
    assert found["data"] == {"word": "b3Blbi1zZXNhbWU="}


def test_kubectl_works(cluster: Cluster, namespace: str) -> None:
    assert "created" in cluster.kubectl("-n", namespace, "create", "configmap", "k", "--from-literal=a=b")
    assert "created" in cluster.kubectl("-n", namespace, "create", "deployment", "web", "--image=i", "--replicas=2")
    assert "0/2" in cluster.kubectl("-n", namespace, "get", "deployments")
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n"
    assert "created" in cluster.kubectl("-n", namespace, "apply", "-f", "-", input=manifest)
    assert "unchanged" in cluster.kubectl("-n", namespace, "apply", "-f", "-", input=manifest)
    assert "configured" in cluster.kubectl("-n", namespace, "apply", "-f", "-", input=manifest.replace("b}", "c}"))
    assert "serverside-applied" in cluster.kubectl(
        "-n", namespace, "apply", "--server-side", "-f", "-", input=manifest.replace("name: m", "name: other")
    )
    assert "FIELD: nodeName" in cluster.kubectl("explain", "pod.spec.nodeName")
    assert "deleted" in cluster.kubectl("-n", namespace, "delete", "configmap", "k")


async def test_selectable_fields_mean_what_upstream_says(client: Client, namespace: str) -> None:
    """An event's source falls back on who reported it, and what is false or zero is so without being written."""
    event = {
        "metadata": {"name": "e", "namespace": namespace},
        "involvedObject": {"namespace": namespace, "kind": "Pod", "name": "p"},
        "reportingComponent": "suite",
    }
    await client.create("events", event)
    await client.create("pods", pod(namespace, "p"))

    async def found(resource: str, selector: str) -> list[str]:
        listed = await client.list(resource, namespace=namespace, field_selector=selector)
        return [item["metadata"]["name"] for item in listed["items"]]

    assert await found("events", "source=suite") == ["e"]
    assert await found("events.events.k8s.io", "reportingController=suite") == ["e"]
    assert await found("pods", "spec.hostNetwork=false") == ["p"]


async def test_an_update_keeps_what_admission_gave_a_pod(client: Client, namespace: str) -> None:
    made = await client.create("pods", pod(namespace, "p"))
    own = {"key": "example.com/own", "operator": "Exists", "effect": "NoSchedule"}
    spec = {key: value for key, value in made["spec"].items() if key not in ("priority", "preemptionPolicy")}
    updated = await client.update("pods", {**made, "spec": {**spec, "tolerations": [own]}})
    assert updated["spec"]["tolerations"] == [own, *made["spec"]["tolerations"]]
    assert updated["spec"]["priority"] == 0
    assert updated["metadata"]["generation"] == 2
    again = await client.update("pods", {**updated, "spec": {**updated["spec"], "priority": None}})
    assert again["metadata"]["generation"] == 2


async def test_an_update_without_what_is_defaulted_asks_for_nothing_new(client: Client, namespace: str) -> None:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    body = {"metadata": {"name": "d", "namespace": namespace}, "spec": spec}
    await client.create("daemonsets.apps", body)
    updated = await client.update("daemonsets.apps", body)
    assert updated["metadata"]["generation"] == 1
    assert updated["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "1"}


async def test_what_is_not_stored_has_no_table(cluster: Cluster) -> None:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    review = {**body, "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with cluster.session() as session:
        for accept, status in ((table, 406), (f"{table},application/json", 201)):
            async with session.post(path, json=review, headers={"Accept": accept}) as answer:
                assert answer.status == status


async def test_an_ending_namespace_is_the_reason_before_what_it_lacks(client: Client, namespace: str) -> None:
    # Nobody finalizes it here, so it stays as it is: ending, and without its account.
    await client.delete("namespaces", namespace)
    await client.delete("serviceaccounts", "default", namespace=namespace)
    pod = {"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    with pytest.raises(StatusError) as caught:
        await client.create("pods", pod)
    assert caught.value.code == 403
    assert "because it is being terminated" in caught.value.message


async def test_an_evicted_pod_tells_why_it_ends(client: Client, namespace: str) -> None:
    body = pod(namespace, "p")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create("pods", body)
    await client.evict(namespace, "p")
    left = await client.get("pods", "p", namespace=namespace)
    assert left["metadata"]["deletionTimestamp"]
    found = next(each for each in left["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (found["status"], found["reason"]) == ("True", "EvictionByEvictionAPI")


async def test_a_path_that_names_nothing(cluster: Cluster) -> None:
    """Below a built-in version upstream's router answers, and with a Status; elsewhere nobody knows the path."""
    maps = "/api/v1/namespaces/default/configmaps/a"
    async with cluster.session() as session:
        for path in (f"{maps}/scale", "/apis/apps/v1/nothing", "/api/v1/namespaces/default/nodes/a"):
            async with session.get(path) as answer:
                status = await answer.json()
                assert (answer.status, status["kind"], status["reason"]) == (404, "Status", "NotFound"), path
        for path in ("/nothing", "/apis/nothing", "/apis/nothing.example.com/v1/things"):
            async with session.get(path) as answer:
                assert (answer.status, await answer.text()) == (404, "404 page not found\n"), path


async def test_dependents_of_jobs_outlive_them_unless_told_otherwise(cluster: Cluster, namespace: str) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    async with cluster.session() as session:
        for name in ("kept", "gone"):
            made = await session.post(path, json={"metadata": {"name": name}, "spec": {"template": template}})
            assert made.status == 201
        answer = await session.delete(f"{path}/kept")
        assert "child pods are preserved by default" in answer.headers["Warning"]
        marked = (await answer.json())["metadata"]
        assert (marked["finalizers"], marked["deletionGracePeriodSeconds"]) == (["orphan"], 0)
        answer = await session.delete(f"{path}/gone?propagationPolicy=Background")
        assert "Warning" not in answer.headers
        assert (await answer.json())["status"] == "Success"


async def test_what_goes_at_once_was_never_marked(client: Client, namespace: str) -> None:
    await client.create("storageclasses.storage.k8s.io", {"metadata": {"name": namespace}, "provisioner": "none"})
    gone = await client.delete("storageclasses.storage.k8s.io", namespace)
    assert gone["kind"] == "StorageClass"
    assert not {"deletionTimestamp", "deletionGracePeriodSeconds"} & gone["metadata"].keys()


async def test_absent_lists_that_are_always_written_are_null(client: Client, namespace: str) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    made = await client.create(
        "horizontalpodautoscalers.autoscaling",
        {"metadata": {"name": "h", "namespace": namespace}, "spec": {"maxReplicas": 2, "scaleTargetRef": target}},
    )
    assert made["status"]["currentMetrics"] is None
    (owner,) = made["metadata"]["managedFields"]
    assert "f:status" not in owner["fieldsV1"]


async def test_a_creator_owns_what_he_said_and_not_what_the_system_adds(client: Client) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    made = await client.create("persistentvolumes", {"metadata": {"name": "owned"}, "spec": spec})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    (owner,) = made["metadata"]["managedFields"]
    assert set(owner["fieldsV1"]) == {"f:spec"}
