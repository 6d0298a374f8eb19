from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions.network_files import Dns, dns, hostname, hosts, parse_resolv_conf, uts_hostname

_HOST = Dns(servers=("192.0.2.1",), searches=("corp.example",), options=("timeout:2",))


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "web-0", "namespace": "shop"}, "spec": {"containers": [], **spec}}


def made(**spec: Any) -> Dns:
    return dns(pod(**spec), _HOST, cluster_dns=["10.96.0.10"], cluster_domain="cluster.local")


def test_cluster_first_searches_the_cluster_then_the_hosts_domains() -> None:
    assert made().render() == (
        "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
        "nameserver 10.96.0.10\noptions ndots:5\n"
    )


@pytest.mark.parametrize(
    ("spec", "servers"),
    [
        ({"dnsPolicy": "Default"}, ("192.0.2.1",)),
        ({"hostNetwork": True}, ("192.0.2.1",)),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, ("10.96.0.10",)),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["198.51.100.1"]}}, ("198.51.100.1",)),
    ],
)
def test_policies(spec: Any, servers: tuple[str, ...]) -> None:
    assert made(**spec).servers == servers


def test_own_options_win_and_servers_are_limited() -> None:
    found = made(
        dnsConfig={"nameservers": ["a", "b", "c"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}
    )
    assert found.servers == ("10.96.0.10", "a", "b")
    assert found.options == ("ndots:2", "rotate")


def test_without_cluster_servers_the_hosts_are_used() -> None:
    assert dns(pod(), _HOST, cluster_dns=[], cluster_domain="cluster.local") == _HOST


def test_resolv_conf_is_read_as_its_man_page_says() -> None:
    text = "# c\nnameserver 1.1.1.1 ; x\nsearch a\nsearch b c.\noptions ndots:1 rotate\nnameserver\n"
    assert parse_resolv_conf(text) == Dns(servers=("1.1.1.1",), searches=("b", "c"), options=("ndots:1", "rotate"))


def test_names() -> None:
    domain = "cluster.local"
    assert hostname(pod(), cluster_domain=domain) == ("web-0", "")
    named = pod(hostname="db", subdomain="data", setHostnameAsFQDN=True)
    assert hostname(named, cluster_domain=domain) == ("db", "data.shop.svc.cluster.local")
    assert uts_hostname(named, cluster_domain=domain) == "db.data.shop.svc.cluster.local"


def test_hosts_names_the_pod_and_its_aliases() -> None:
    made_pod = pod(subdomain="data", hostAliases=[{"ip": "192.0.2.9", "hostnames": ["old", "older"]}])
    text = hosts(made_pod, pod_ips=["10.0.0.9"], host_file="x", cluster_domain="cluster.local")
    assert "10.0.0.9\tweb-0.data.shop.svc.cluster.local\tweb-0\n" in text
    assert text.endswith("192.0.2.9\told\tolder\n")
    host = hosts(pod(hostNetwork=True), pod_ips=[], host_file="127.0.0.1 me\n", cluster_domain="cluster.local")
    assert host == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"
