from __future__ import annotations

from typing import Any

import pytest

from keelson.kube_apiserver.aggregation import services
from keelson.kube_apiserver.aggregation.services import Place, ResolutionError


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 443}]
    return {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.9", "ports": ports, **spec}}


def endpoint_slice(*addresses: str, ready: bool = True, port: str = "b", family: str = "IPv4") -> dict[str, Any]:
    return {
        "addressType": family,
        "ports": [{"name": port, "port": 8443}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


def test_a_cluster_ip_is_gone_to_on_the_services_own_port() -> None:
    assert services.by_cluster_ip(service(), 443) == Place("10.0.0.9", 443)
    assert services.by_cluster_ip(service(type="LoadBalancer"), 80) == Place("10.0.0.9", 80)
    assert services.by_cluster_ip(service(type="ExternalName", externalName="there"), 7) == Place("there", 7)


@pytest.mark.parametrize(
    ("spec", "port", "why"),
    [
        ({"clusterIP": "None"}, 443, 'cannot route to service with ClusterIP "None"'),
        ({}, 444, 'no service port 444 found for service "s"'),
        ({"type": "Other"}, 443, 'unsupported service type "Other"'),
    ],
)
def test_services_that_lead_nowhere(spec: dict[str, Any], port: int, why: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        services.by_cluster_ip(service(**spec), port)
    assert str(caught.value) == why


def test_endpoints_are_ready_of_the_right_port_and_of_the_services_own_family_first() -> None:
    found = service(ipFamilies=["IPv6", "IPv4"])
    slices = [
        endpoint_slice("10.1.0.1"),
        endpoint_slice("fd00::1", family="IPv6"),
        endpoint_slice("fd00::2", family="IPv6", ready=False),
        endpoint_slice("fd00::3", family="IPv6", port="a"),
    ]
    assert services.by_endpoint(found, slices, 443) == Place("fd00::1", 8443)
    assert services.by_endpoint(found, slices[:1], 443) == Place("10.1.0.1", 8443)
    with pytest.raises(ResolutionError):
        services.by_endpoint(found, slices[2:], 443)
