"""Defaults: what the API fills in, kind by kind, and that doing it twice changes nothing."""

import copy
from typing import Any

import pytest

from keelson.api import defaults, resources, schemas


def defaulted(resource: str, obj: dict[str, Any]) -> dict[str, Any]:
    defaults.apply(resources.lookup(resource), obj)
    again = copy.deepcopy(obj)
    defaults.apply(resources.lookup(resource), again)
    assert again == obj, "defaults must be idempotent"
    return obj


def test_pod() -> None:
    pod = defaulted("pods", {"spec": {"containers": [{"name": "a", "image": "web"}], "serviceAccountName": "s"}})
    assert pod["spec"] == {
        "containers": [
            {
                "name": "a",
                "image": "web",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "s",
        "serviceAccountName": "s",
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("registry:5000/web", "Always"),
        ("registry:5000/web:1", "IfNotPresent"),
        ("web@sha256:" + "0" * 64, "IfNotPresent"),
        ("web:latest@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = defaulted("pods", {"spec": {"containers": [{"name": "a", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_limits_are_requests_where_none_are_made() -> None:
    limits = {"cpu": "1", "memory": "1Gi"}
    container = {"name": "a", "image": "b:1", "resources": {"limits": limits, "requests": {"cpu": "100m"}}}
    pod = defaulted("pods", {"spec": {"containers": [container]}})
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}
    template = {"spec": {"template": {"spec": {"containers": [{"name": "a", "resources": {"limits": limits}}]}}}}
    deployment = defaulted("deployments.apps", template)
    assert "requests" not in deployment["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_probes_ports_environment_and_volumes() -> None:
    container = {
        "name": "a",
        "image": "b:1",
        "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}},
        "readinessProbe": {"grpc": {"port": 1}, "periodSeconds": 3},
        "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }
    volumes: list[dict[str, Any]] = [
        {"name": "a"},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "c", "hostPath": {"path": "/"}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    pod = defaulted("pods", {"spec": {"containers": [container], "volumes": volumes, "hostNetwork": True}})
    found = pod["spec"]["containers"][0]
    assert found["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["readinessProbe"]["periodSeconds"] == 3
    assert found["readinessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert pod["spec"]["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "c", "hostPath": {"path": "/", "type": ""}},
        {
            "name": "d",
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            },
        },
    ]


def test_deployment() -> None:
    spec = defaulted("deployments.apps", {"spec": {"template": {}}})["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert "enableServiceLinks" not in spec["template"]["spec"]
    recreated = defaulted("deployments.apps", {"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}})["spec"]
    assert (recreated["strategy"], recreated["replicas"]) == ({"type": "Recreate"}, 0)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, (1, 1, 6)),
        ({"completions": 3}, (3, 1, 6)),
        ({"parallelism": 2}, (None, 2, 6)),
        ({"backoffLimitPerIndex": 1, "completions": 2}, (2, 1, 2**31 - 1)),
    ],
)
def test_job_counts(spec: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    found = defaulted("jobs.batch", {"spec": spec})["spec"]
    assert (found.get("completions"), found["parallelism"], found["backoffLimit"]) == wanted


def test_service() -> None:
    spec = defaulted("services", {"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "web"}]}})["spec"]
    assert spec["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 80},
        {"port": 81, "protocol": "TCP", "targetPort": "web"},
    ]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert "externalTrafficPolicy" not in spec
    spec = defaulted("services", {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}})["spec"]
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert "internalTrafficPolicy" not in defaulted("services", {"spec": {"type": "ExternalName"}})["spec"]


def test_secret_takes_plain_text() -> None:
    secret = defaulted("secrets", {"stringData": {"a": "hi"}, "data": {"a": "eA==", "b": "eA=="}})
    assert secret == {"type": "Opaque", "data": {"a": "aGk=", "b": "eA=="}}


def test_small_kinds() -> None:
    assert defaulted("namespaces", {"metadata": {"name": "a"}})["metadata"]["labels"] == {
        "kubernetes.io/metadata.name": "a"
    }
    binding = {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}
    found = defaulted("rolebindings.rbac.authorization.k8s.io", binding)
    assert found["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert found["subjects"] == [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount"}]
    policy = defaulted("networkpolicies.networking.k8s.io", {"spec": {"egress": [{}]}})["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert defaulted("storageclasses.storage.k8s.io", {}) == {
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
    limits = defaulted("limitranges", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}})
    assert limits["spec"]["limits"][0]["defaultRequest"] == {"cpu": "2"}
    names = {"kind": "CronTab", "plural": "crontabs"}
    crd = defaulted("customresourcedefinitions.apiextensions.k8s.io", {"spec": {"names": names}})
    assert crd["spec"]["names"] == {
        "kind": "CronTab",
        "plural": "crontabs",
        "singular": "crontab",
        "listKind": "CronTabList",
    }


def test_kinds_without_defaults_are_left_alone() -> None:
    assert defaulted("configmaps", {"data": {"a": "b"}}) == {"data": {"a": "b"}}


def test_structural_defaults_go_from_the_outside_in() -> None:
    schema = schemas.structural(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "default": {},
                    "properties": {
                        "size": {"type": "integer", "default": 3},
                        "items": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}},
                        },
                        "map": {
                            "type": "object",
                            "additionalProperties": {
                                "type": "object",
                                "properties": {"b": {"type": "boolean", "default": True}},
                            },
                        },
                    },
                }
            },
        }
    )
    empty: dict[str, Any] = {}
    defaults.apply_structural(schema, empty)
    assert empty == {"spec": {"size": 3}}
    full: dict[str, Any] = {"spec": {"size": 1, "items": [{}, {"a": "y"}], "map": {"k": {}}}}
    defaults.apply_structural(schema, full)
    assert full == {"spec": {"size": 1, "items": [{"a": "x"}, {"a": "y"}], "map": {"k": {"b": True}}}}
