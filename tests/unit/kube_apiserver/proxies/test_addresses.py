from __future__ import annotations

from typing import Any

import pytest

from keelson.api import errors
from keelson.kube_apiserver.proxies import addresses
from keelson.kube_apiserver.proxies.addresses import Endpoint, Named
from keelson.kube_apiserver.proxies.resources import is_proxied, split


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1"])
def test_hosts_are_proxied_to(address: str) -> None:
    assert addresses.is_proxyable(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ],
)
def test_what_is_no_hosts_address_is_not(address: str) -> None:
    assert not addresses.is_proxyable(address)
    assert addresses.is_node_address(address) == (address in {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"})


def test_names_in_paths() -> None:
    assert addresses.named("web", "pod") == Named("", "web", "")
    assert addresses.named("web:http", "service") == Named("", "web", "http")
    assert addresses.named("https:web:443", "service") == Named("https", "web", "443")
    assert addresses.named("https:web:", "service") == Named("https", "web", "")
    for wrong in ("", ":", "ftp:web:21", "http::80", "a:b:c:d"):
        with pytest.raises(errors.StatusError, match="invalid pod request"):
            addresses.named(wrong, "pod")


def test_the_first_preferred_address_of_a_node() -> None:
    stated = [{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "10.0.0.1"}]
    node: dict[str, Any] = {"metadata": {"name": "a"}, "status": {"addresses": stated}}
    assert addresses.node_address(node, ["InternalIP", "Hostname"]) == "10.0.0.1"
    assert addresses.node_address(node, ["ExternalIP", "Hostname"]) == "a"
    with pytest.raises(errors.StatusError, match="no preferred addresses found"):
        addresses.node_address(node, ["ExternalIP"])
    assert addresses.kubelet_port(node) == 10250
    node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 10350}}
    assert addresses.kubelet_port(node) == 10350


def test_ports_of_pods_and_services() -> None:
    pod = {"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}}
    assert addresses.pod_port(pod, "", "") == 8080
    assert addresses.pod_port(pod, "9090", "") == 9090
    assert addresses.pod_port({}, "", "https") == 443
    for wrong in ("http", "0", "65536", "-1", "٣"):
        with pytest.raises(errors.StatusError, match="invalid port"):
            addresses.pod_port(pod, wrong, "")
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
    assert addresses.service_port_name(service, "80") == "http"
    assert addresses.service_port_name(service, "http") == "http"
    with pytest.raises(errors.StatusError, match='no service port 81 found for service "web"'):
        addresses.service_port_name(service, "81")


def test_only_ready_endpoints_of_pods_count() -> None:
    def endpoint(address: str, ready: bool | None, kind: str = "Pod") -> dict[str, Any]:
        return {"addresses": [address], "conditions": {"ready": ready}, "targetRef": {"kind": kind, "name": "web"}}

    each = {
        "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 9090}],
        "endpoints": [
            endpoint("10.0.0.1", True),
            endpoint("10.0.0.2", None),
            endpoint("10.0.0.3", False),
            endpoint("10.0.0.4", True, "Node"),
            {"addresses": ["10.0.0.5"]},
        ],
    }
    found = addresses.endpoints([each], "http")
    assert found == [Endpoint("10.0.0.1", 8080, "web"), Endpoint("10.0.0.2", 8080, "web")]


def test_the_proxied_path_is_what_was_asked_for() -> None:
    base = "/api/v1/namespaces/a/pods/http:web:80/proxy"
    assert split(base, namespaced=True) == (base, "")
    assert split(f"{base}/?a=/b", namespaced=True) == (base, "/")
    assert split(f"{base}/some%2Fplace/?a=b", namespaced=True) == (base, "/some%2Fplace/")
    assert split(f"{base}//x", namespaced=True) == (base, "//x")
    assert split("//api/v1/nodes/a/proxy/x", namespaced=False) == ("/api/v1/nodes/a/proxy", "/x")
    assert is_proxied(b"/api/v1/nodes/a/proxy?x=y")
    assert not is_proxied(b"/api/v1/namespaces/a/configmaps/proxy-data")
