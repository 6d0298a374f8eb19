"""The rules for pods, new and changed."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

Check = Callable[..., list[tuple[str, str]]]
CONTAINER = {"name": "c", "image": "i:1"}


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [dict(CONTAINER)], **spec}}


def with_container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{**CONTAINER, **fields}])


def test_an_ordinary_pod_is_valid(create: Check) -> None:
    obj = pod(
        initContainers=[{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}],
        volumes=[{"name": "v", "emptyDir": {}}, {"name": "p", "persistentVolumeClaim": {"claimName": "x"}}],
        nodeSelector={"a/b": "c"},
        tolerations=[{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 3}],
        topologySpreadConstraints=[
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        affinity={
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]
            }
        },
    )
    obj["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
        "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "limits": {"cpu": "1", "nvidia.com/gpu": "1"}},
        "env": [{"name": "a.b-c", "value": ""}],
    }
    assert create("pods", obj) == []


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        ({"spec": {}}, "spec.containers", "Required value"),
        (pod(containers=[{"image": "i"}]), "spec.containers[0].name", "Required value"),
        (pod(containers=[{"name": "c"}]), "spec.containers[0].image", "Required value"),
        (pod(containers=[CONTAINER, CONTAINER]), "spec.containers[1].name", 'Duplicate value: "c"'),
        (with_container(name="C"), "spec.containers[0].name", "RFC 1123 label"),
        (
            with_container(imagePullPolicy="Sometimes"),
            "spec.containers[0].imagePullPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            with_container(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort",
            "between 1 and",
        ),
        (
            with_container(ports=[{"containerPort": 1, "name": "toolongportname1"}]),
            "spec.containers[0].ports[0].name",
            "15",
        ),
        (with_container(env=[{"name": "a=b"}]), "spec.containers[0].env[0].name", "printable ASCII"),
        (
            with_container(env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
            'Unsupported value: "spec.foo"',
        ),
        (
            with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        (with_container(livenessProbe={}), "spec.containers[0].livenessProbe", "must specify a handler type"),
        (
            with_container(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold",
            "must be 1",
        ),
        (
            with_container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            with_container(resources={"requests": {"cpu": "-1"}}),
            "spec.containers[0].resources.requests[cpu]",
            "greater",
        ),
        (
            with_container(resources={"requests": {"foo": "1"}}),
            "spec.containers[0].resources.requests",
            "standard resource",
        ),
        (
            with_container(resources={"requests": {"x.y/gpu": "1"}}),
            "spec.containers[0].resources.limits",
            "Limit must be set for non overcommitable resources",
        ),
        (
            with_container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
            "spec.containers[0].securityContext",
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            pod(initContainers=[{**CONTAINER, "name": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]),
            "spec.initContainers[0].livenessProbe",
            "Forbidden",
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath",
            "more than 1",
        ),
        (pod(volumes=[{"name": "v"}, {"name": "v"}]), "spec.volumes[1].name", 'Duplicate value: "v"'),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/a/../b"}}]), "spec.volumes[0].hostPath.path", "'..'"),
        (pod(volumes=[{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName", "Required value"),
        (pod(restartPolicy="Never!"), "spec.restartPolicy", 'Unsupported value: "Never!"'),
        (pod(dnsPolicy="None"), "spec.dnsConfig.nameservers", "must provide at least one DNS nameserver"),
        (pod(terminationGracePeriodSeconds=-5), "spec.terminationGracePeriodSeconds", "greater than or equal to 0"),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", "between 1 and 2147483647"),
        (pod(nodeSelector={"a b": "c"}), "spec.nodeSelector", "name part must consist of"),
        (pod(tolerations=[{"key": "a", "operator": "Like"}]), "spec.tolerations[0].operator", "Unsupported value"),
        (pod(tolerations=[{"key": "a", "tolerationSeconds": 1}]), "spec.tolerations[0].effect", "must be 'NoExecute'"),
        (
            pod(topologySpreadConstraints=[{"topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]),
            "spec.topologySpreadConstraints[0].maxSkew",
            "greater than zero",
        ),
        (
            pod(
                affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
            ),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
            "at least one node selector term",
        ),
        (pod(ephemeralContainers=[{**CONTAINER, "name": "e"}]), "spec.ephemeralContainers", "cannot be set on create"),
        (pod(schedulingGates=[{"name": "a"}], nodeName="n"), "spec.nodeName", "schedulingGates have been cleared"),
        (pod(hostname="a.b"), "spec.hostname", "RFC 1123 label"),
    ],
)
def test_what_is_wrong_is_named(create: Check, obj: dict[str, Any], field: str, message: str) -> None:
    found = create("pods", obj)
    assert [name for name, _ in found] == [field], found
    assert message in found[0][1]


def test_all_causes_are_told_at_once(create: Check) -> None:
    fields = [field for field, _ in create("pods", pod(containers=[{"image": " x"}], restartPolicy="x"))]
    assert fields == ["spec.containers[0].name", "spec.containers[0].image", "spec.restartPolicy"]


RUNNING = pod(nodeName="n", tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute"}])


@pytest.mark.parametrize(
    "change",
    [
        {"spec.containers.0.image": "other:2"},
        {"spec.activeDeadlineSeconds": 5},
        {"metadata.labels": {"a": "b"}},
        {
            "spec.tolerations": [
                {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 4},
                {"key": "b", "operator": "Exists"},
            ]
        },
    ],
)
def test_what_may_change(update: Check, change: dict[str, Any]) -> None:
    assert update("pods", copy.deepcopy(RUNNING), change) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec.nodeName": "other"}, "spec"),
        ({"spec.containers.0.command": ["x"]}, "spec"),
        ({"spec.hostNetwork": True}, "spec"),
        ({"spec.tolerations": []}, "spec.tolerations"),
        ({"spec.containers": [CONTAINER, {**CONTAINER, "name": "d"}]}, "spec.containers"),
        ({"spec.schedulingGates": [{"name": "x"}]}, "spec.schedulingGates"),
    ],
)
def test_what_may_not_change(update: Check, change: dict[str, Any], field: str) -> None:
    found = update("pods", copy.deepcopy(RUNNING), change)
    assert field in [name for name, _ in found]
    assert all(message.startswith("Forbidden") for _, message in found)


def test_gated_pods_may_still_narrow_where_they_run(update: Check) -> None:
    gated = pod(schedulingGates=[{"name": "a"}])
    assert update("pods", gated, {"spec.nodeSelector": {"a": "b"}, "spec.schedulingGates": []}) == []
    assert update("pods", pod(), {"spec.nodeSelector": {"a": "b"}}) != []


def test_ephemeral_containers_only_join(update: Check) -> None:
    road = {"subresource": "ephemeralcontainers"}
    debugger = {"name": "e", "image": "i", "targetContainerName": "c"}
    assert update("pods", pod(), {"spec.ephemeralContainers": [debugger]}, **road) == []
    unknown = {**debugger, "targetContainerName": "x"}
    found = update("pods", pod(), {"spec.ephemeralContainers": [unknown]}, **road)
    assert found == [("spec.ephemeralContainers[0].targetContainerName", 'Not found: "x"')]
    ports = {**debugger, "ports": [{"containerPort": 1}]}
    found = update("pods", pod(), {"spec.ephemeralContainers": [ports]}, **road)
    assert [field for field, _ in found] == ["spec.ephemeralContainers[0].ports"]


def test_a_resize_keeps_the_quality_of_service(update: Check) -> None:
    old = with_container(resources={"requests": {"cpu": "1"}})
    assert update("pods", old, {"spec.containers.0.resources.requests.cpu": "2"}, subresource="resize") == []
    found = update("pods", old, {"spec.containers.0.resources": {}}, subresource="resize")
    assert found == [("spec", 'Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing')]


def test_ended_containers_stay_ended(update: Check) -> None:
    status = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}
    running = {"status.containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    found = update("pods", pod(restartPolicy="Never"), running, subresource="status", status=status)
    assert [field for field, _ in found] == ["status.containerStatuses[0].state"]
    assert update("pods", pod(restartPolicy="OnFailure"), running, subresource="status", status=status) == []


def test_names_of_sysctls_have_their_form(create: Check) -> None:
    names = ["kernel.shmmax", "net/ipv4/ip_forward", "foo-", "bar..", "x" * 254]
    obj = pod(securityContext={"sysctls": [{"name": name, "value": "1"} for name in names]})
    found = create("pods", obj)
    assert [field for field, _ in found] == [f"spec.securityContext.sysctls[{index}].name" for index in (2, 3, 4)]
    assert found[0][1].startswith('Invalid value: "foo-": must have at most 253 characters and match regex ^(')
