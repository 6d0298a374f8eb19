"""Strategies: system fields, generations, and which road may write which part."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from keelson.api import resources, strategies
from keelson.api.errors import StatusError
from keelson.api.resources import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CRON_TABS = Resource("stable.example.com", "v1", "CronTab", "crontabs", True, "crontab", subresources=("status",))


def created(resource: str, obj: dict[str, Any], *, suffix: str = "") -> dict[str, Any]:
    strategies.prepare_create(resources.lookup(resource), obj, now=NOW, uid="u-1", suffix=suffix)
    return obj


def updated(resource: str, new: dict[str, Any], old: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
    strategies.prepare_update(resources.lookup(resource), new, old, now=NOW, subresource=subresource)
    strategies.count_generation(resources.lookup(resource), new, old, subresource=subresource)
    return new


def test_create_fills_the_systems_fields() -> None:
    obj = {
        "metadata": {"generateName": "a-", "uid": "mine", "generation": 9, "deletionTimestamp": "x", "selfLink": "y"},
        "spec": {"replicas": 2},
        "status": {"replicas": 9},
    }
    found = created("deployments.apps", obj, suffix="bcdfg")
    assert found["metadata"] == {
        "generateName": "a-",
        "name": "a-bcdfg",
        "uid": "u-1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "generation": 1,
    }
    assert found["status"] == {}
    assert "generation" not in created("configmaps", {"metadata": {"name": "a"}})["metadata"]


def test_create_refuses_a_resource_version() -> None:
    with pytest.raises(StatusError, match="resourceVersion should not be set"):
        created("configmaps", {"metadata": {"name": "a", "resourceVersion": "1"}})


def test_generated_names_fit() -> None:
    assert strategies.generate_name("x" * 100, "bcdfg") == "x" * 58 + "bcdfg"


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ("replicasets.apps", {"replicas": 0}),
        ("persistentvolumeclaims", {"phase": "Pending"}),
        ("services", {"loadBalancer": {}}),
        ("volumeattachments.storage.k8s.io", {"attached": False}),
        ("statefulsets.apps", {"availableReplicas": 0, "replicas": 0}),
    ],
)
def test_new_objects_have_the_status_of_the_unseen(resource: str, status: dict[str, Any]) -> None:
    assert created(resource, {"metadata": {"name": "a"}, "status": {"x": 1}})["status"] == status


def test_nodes_keep_the_status_they_register_with() -> None:
    assert created("nodes", {"metadata": {"name": "a"}, "status": {"x": 1}})["status"] == {"x": 1}


@pytest.mark.parametrize(
    ("resources_of_containers", "quality"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}], "Burstable"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"limits": {"nvidia.com/gpu": "1"}}], "BestEffort"),
    ],
)
def test_pods_get_their_quality_of_service(resources_of_containers: list[dict[str, Any]], quality: str) -> None:
    containers = [{"name": str(i), "resources": found} for i, found in enumerate(resources_of_containers)]
    pod = created("pods", {"metadata": {"name": "a"}, "spec": {"containers": containers, "serviceAccountName": "s"}})
    assert pod["status"] == {"phase": "Pending", "qosClass": quality}
    assert pod["spec"]["serviceAccount"] == "s"


def test_gated_pods_say_so() -> None:
    pod = created("pods", {"metadata": {"name": "a"}, "spec": {"schedulingGates": [{"name": "x"}]}})
    condition = pod["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "SchedulingGated")


def test_namespaces_and_jobs() -> None:
    namespace = created("namespaces", {"metadata": {"name": "a"}})
    assert namespace["spec"]["finalizers"] == ["kubernetes"]
    assert namespace["status"] == {"phase": "Active"}
    job = created("jobs.batch", {"metadata": {"name": "a"}, "spec": {"template": {}}})
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "a"
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    manual = created("jobs.batch", {"metadata": {"name": "a"}, "spec": {"template": {}, "manualSelector": True}})
    assert "selector" not in manual["spec"]


def old_deployment() -> dict[str, Any]:
    return {
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3, "creationTimestamp": "t"},
        "spec": {"replicas": 1},
        "status": {"replicas": 1},
    }


def test_daemon_sets_count_the_changes_of_their_template() -> None:
    daemon_sets = resources.lookup("daemonsets.apps")
    counted = "deprecated.daemonset.template.generation"
    obj: dict[str, Any] = {"metadata": {"name": "d"}, "spec": {"template": {"spec": {"hostPID": True}}}}
    strategies.prepare_create(daemon_sets, obj, now=NOW, uid="u")
    assert obj["metadata"]["annotations"] == {counted: "1"}
    same = copy.deepcopy(obj)
    same["metadata"]["annotations"] = {"mine": "kept", counted: "9"}
    same["spec"]["minReadySeconds"] = 5
    strategies.prepare_update(daemon_sets, same, obj, now=NOW)
    assert same["metadata"]["annotations"] == {"mine": "kept", counted: "1"}
    changed = copy.deepcopy(same)
    changed["spec"]["template"]["spec"]["hostPID"] = False
    strategies.prepare_update(daemon_sets, changed, same, now=NOW)
    assert changed["metadata"]["annotations"][counted] == "2"


def test_update_keeps_system_fields_and_status() -> None:
    new = {"metadata": {"name": "a", "generation": 77}, "spec": {"replicas": 2}, "status": {"replicas": 5}}
    found = updated("deployments.apps", new, old_deployment())
    assert found["metadata"] == old_deployment()["metadata"] | {"generation": 4}
    assert found["status"] == {"replicas": 1}


def test_generation_counts_meaning() -> None:
    same = {"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"replicas": 1, "template": None}}
    del same["spec"]["template"]  # type: ignore[attr-defined]
    assert updated("deployments.apps", same, old_deployment())["metadata"]["generation"] == 3
    annotated = {"metadata": {"name": "a", "annotations": {"x": "y"}}, "spec": {"replicas": 1}}
    assert updated("deployments.apps", annotated, old_deployment())["metadata"]["generation"] == 4
    old = {"metadata": {"generation": 1}, "spec": {"tolerations": []}}
    assert updated("pods", {"spec": {}}, old)["metadata"]["generation"] == 1


def test_status_update_keeps_the_rest() -> None:
    new = {"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"replicas": 9}, "status": {"replicas": 2}}
    found = updated("deployments.apps", new, old_deployment(), subresource="status")
    assert found["spec"] == {"replicas": 1}
    assert found["status"] == {"replicas": 2}
    assert "labels" not in found["metadata"]
    assert found["metadata"]["generation"] == 3


def test_namespace_finalizers_have_a_road_of_their_own() -> None:
    old: dict[str, Any] = {"metadata": {}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    assert updated("namespaces", {"spec": {}}, old)["spec"] == {"finalizers": ["kubernetes"]}
    found = updated("namespaces", {"spec": {"finalizers": []}, "status": {"phase": "x"}}, old, subresource="finalize")
    assert found["spec"] == {"finalizers": []}
    assert found["status"] == {"phase": "Active"}


def test_approval_writes_approval_and_nothing_else() -> None:
    csr = "certificatesigningrequests.certificates.k8s.io"
    old = {"metadata": {}, "spec": {"request": "r"}, "status": {"certificate": "c", "conditions": [{"type": "Failed"}]}}
    new = {
        "spec": {"request": "other"},
        "status": {"certificate": "forged", "conditions": [{"type": "Approved"}, {"type": "Extra"}]},
    }
    found = updated(csr, new, old, subresource="approval")
    assert found["spec"] == {"request": "r"}
    now = "2026-01-02T03:04:05Z"
    assert found["status"] == {
        "certificate": "c",
        "conditions": [
            {"type": kind, "lastUpdateTime": now, "lastTransitionTime": now} for kind in ("Approved", "Extra")
        ],
    }
    forged = {"status": {"certificate": "c", "conditions": [{"type": "Approved"}]}}
    assert updated(csr, forged, old, subresource="status")["status"] == {"certificate": "c", "conditions": []}


def test_a_signing_requests_condition_keeps_the_time_of_its_transition() -> None:
    csr = "certificatesigningrequests.certificates.k8s.io"
    then = "2025-12-31T00:00:00Z"
    old = {"status": {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": then}]}}
    new = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "Again"}]}}
    (found,) = updated(csr, new, old, subresource="status")["status"]["conditions"]
    assert found["lastTransitionTime"] == then
    assert found["lastUpdateTime"] == "2026-01-02T03:04:05Z"


def test_ephemeral_containers_and_resize_take_only_their_own() -> None:
    old: dict[str, Any] = {
        "metadata": {"name": "p", "generation": 1, "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]},
    }
    new = {
        "metadata": {"name": "p", "labels": {"evil": "1"}},
        "spec": {
            "containers": [{"name": "c", "image": "other", "resources": {"limits": {"cpu": "1"}}}],
            "ephemeralContainers": [{"name": "e"}],
        },
    }
    debugged = updated("pods", copy.deepcopy(new), old, subresource="ephemeralcontainers")
    assert debugged["spec"] == {**old["spec"], "ephemeralContainers": [{"name": "e"}]}
    assert debugged["metadata"] == {**old["metadata"], "generation": 2}
    resized = updated("pods", copy.deepcopy(new), old, subresource="resize")
    assert resized["spec"] == {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}


def test_custom_resources_count_generations_of_all_but_status() -> None:
    old = {"metadata": {"name": "a", "generation": 1, "labels": {"x": "1"}}, "spec": {"a": 1}, "status": {"b": 1}}
    new: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"a": 2}, "status": {"b": 2}}
    strategies.prepare_update(CRON_TABS, new, old, now=NOW)
    strategies.count_generation(CRON_TABS, new, old)
    assert new["metadata"]["generation"] == 2
    assert new["status"] == {"b": 1}
    status: dict[str, Any] = {"metadata": {"name": "a", "labels": {"x": "2"}}, "spec": {"a": 9}, "status": {"b": 3}}
    strategies.prepare_update(CRON_TABS, status, old, now=NOW, subresource="status")
    assert status["spec"] == {"a": 1}
    assert status["status"] == {"b": 3}
    assert status["metadata"]["labels"] == {"x": "1"}


@pytest.mark.parametrize(
    ("pod", "requested", "seconds"),
    [
        ({"spec": {"terminationGracePeriodSeconds": 30}}, None, 0),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}}, None, 30),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}}, 5, 5),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}}, 0, 0),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": -1}}, None, 1),
        ({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}, 30, 0),
    ],
)
def test_only_running_pods_take_time_to_go(pod: dict[str, Any], requested: int | None, seconds: int) -> None:
    assert strategies.graceful_seconds(resources.lookup("pods"), pod, requested) == seconds
    assert strategies.graceful_seconds(resources.lookup("configmaps"), pod, requested) == 0


def test_what_put_may_do() -> None:
    lease, pod = resources.lookup("leases.coordination.k8s.io"), resources.lookup("pods")
    assert strategies.allows_create_on_update(lease)
    assert not strategies.allows_create_on_update(pod)
    assert not strategies.allows_unconditional_update(lease)
    assert strategies.allows_unconditional_update(pod)


ADDRESSED = {
    "metadata": {"name": "s"},
    "spec": {
        "type": "NodePort",
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
    },
}


def test_an_update_that_names_no_address_keeps_what_was_allocated() -> None:
    ports: list[dict[str, Any]] = [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]
    new = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}}
    spec = updated("services", new, ADDRESSED)["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"], spec["ipFamilies"]) == ("10.0.0.1", ["10.0.0.1"], ["IPv4"])
    assert [port.get("nodePort") for port in spec["ports"]] == [30080, None]


def test_allocations_end_with_the_type_that_wanted_them() -> None:
    new: dict[str, Any] = copy.deepcopy(ADDRESSED)
    new["spec"]["type"] = "ClusterIP"
    spec = updated("services", new, ADDRESSED)["spec"]
    assert "nodePort" not in spec["ports"][0]
    assert spec["clusterIP"] == "10.0.0.1"
    new = copy.deepcopy(ADDRESSED)
    new["spec"] |= {"type": "ExternalName", "externalName": "x.y"}
    assert set(updated("services", new, ADDRESSED)["spec"]) == {"type", "externalName", "ports"}


def test_a_name_has_no_policy_for_traffic_from_outside() -> None:
    old: dict[str, Any] = {"metadata": {}, "spec": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}}
    new = {"metadata": {}, "spec": {**old["spec"], "type": "ExternalName", "externalName": "x.y"}}
    assert set(updated("services", new, old)["spec"]) == {"type", "externalName"}


def test_a_node_port_that_was_asked_for_anew_is_kept() -> None:
    new: dict[str, Any] = copy.deepcopy(ADDRESSED)
    new["spec"]["type"] = "ClusterIP"
    new["spec"]["ports"][0]["nodePort"] = 30081
    assert updated("services", new, ADDRESSED)["spec"]["ports"][0]["nodePort"] == 30081
