from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions.environments import (
    ConfigError,
    Sources,
    environment,
    expand,
    references,
    resource_value,
    service_variables,
)


def pod(*env: Any, **spec: Any) -> Object:
    container = {"name": "c", "image": "i", "env": list(env)}
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "u",
            "labels": {"app": "web"},
            "annotations": {"n": 'a"b'},
        },
        "spec": {"containers": [container], "nodeName": "node-1", **spec},
    }


def variables(made: Object, sources: Sources | None = None) -> dict[str, str]:
    return dict(environment(made, made["spec"]["containers"][0], sources or Sources()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("100%$", "100%$"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_may_use_those_before_it_and_not_those_after() -> None:
    found = variables(pod({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}))
    assert found["B"] == "1$(C)"


def test_fields_and_references() -> None:
    made = pod(
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
    )
    sources = Sources(
        config_maps={"cm": {"data": {"k": "v"}}}, secrets={"s": {"p": b"hidden"}}, pod_ips=("10.0.0.9", "::9")
    )
    found = variables(made, sources)
    assert [found[n] for n in ("NAME", "LABEL", "IP", "KEY", "PASS")] == ["web", "web", "10.0.0.9", "v", "hidden"]
    assert references(made) == ({"cm"}, {"s"})


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "none"}}, "couldn't find key none in ConfigMap cm"),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(origin: Any, message: str) -> None:
    sources = Sources(config_maps={"cm": {"data": {}}, "none": None}, secrets={"none": None})
    with pytest.raises(ConfigError, match=message):
        variables(pod({"name": "A", "valueFrom": origin}), sources)
    kind, reference = next(iter(origin.items()))
    optional = {kind: {**reference, "optional": True}}
    assert "A" not in variables(pod({"name": "A", "valueFrom": optional}), sources)


def test_own_variables_win_over_those_taken_whole() -> None:
    made = pod({"name": "P_A", "value": "own"})
    made["spec"]["containers"][0]["envFrom"] = [{"prefix": "P_", "configMapRef": {"name": "cm"}}]
    assert variables(made, Sources(config_maps={"cm": {"data": {"A": "1", "B": "2"}}})) == {"P_A": "own", "P_B": "2"}


def service(name: str, namespace: str, cluster_ip: str = "10.96.0.7") -> Object:
    ports = [{"name": "web-ui", "port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": cluster_ip, "ports": ports}}


def test_services_of_the_namespace_and_kubernetes_are_told() -> None:
    services = [
        service("kubernetes", "default"),
        service("my-db", "shop"),
        service("other", "else"),
        service("headless", "shop", "None"),
    ]
    found = service_variables(pod(), services)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_DB_SERVICE_PORT_WEB_UI"] == "80"
    assert found["MY_DB_PORT"] == "tcp://10.96.0.7:80"
    assert found["MY_DB_PORT_53_UDP_PROTO"] == "udp"
    assert "KUBERNETES_SERVICE_HOST" in found
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in found)
    assert set(service_variables(pod(enableServiceLinks=False), services)) < set(found)
    assert "MY_DB_PORT" not in service_variables(pod(enableServiceLinks=False), services)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.memory"}, "1024"),
        ({"resource": "requests.cpu"}, "0"),
    ],
)
def test_resources_in_units_of_the_divisor(reference: Any, expected: str) -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}}
    assert resource_value(pod(), container, reference, {"memory": "1Ki"}) == expected
