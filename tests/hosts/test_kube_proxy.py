"""The service proxy: its health, its rules, its sandbox, and their purpose: a Pod reaches a Service by name."""

from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import Machine

ROLE = "kube_proxy"


def test_is_healthy(host: Any) -> None:
    assert machines.http_status(host, "http://127.0.0.1:10256/healthz") == "200"


def test_answers_the_host_alone(machine: Machine) -> None:
    assert not machine.answers(10249)
    assert not machine.answers(10256)


def test_rules_are_in_tables_of_their_own(host: Any) -> None:
    """Upstream's name of its nftables tables; nothing is put into the host's own."""
    assert "table ip kube-proxy" in host.check_output("nft list tables").splitlines()


def test_sandbox(host: Any) -> None:
    names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
    assert machines.properties(host, "kube-proxy.service", *names) == {
        "User": "kube-proxy",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "cap_net_admin",
    }


def test_pod_reaches_service_by_name(cluster: Cluster, machine: Machine) -> None:
    """From this host: DNS, the Service's virtual address, and the way to the Pod behind it."""
    cluster.serve("greeter", "good-day")
    domain = machine.variables.get("cluster_domain") or "cluster.local"
    address = f"greeter.{cluster.namespace}.svc.{domain}"
    once = f"wget -q -T 2 -O - http://{address}/ | grep -q good-day"
    # The Service is a moment old: its rules and its name may be on their way.
    command = f"i=0; until {once}; do i=$((i+1)); [ $i -lt 20 ] || exit 1; sleep 1; done"
    assert cluster.run(f"visitor-{machine.name}", machine.name, command) == "Succeeded"
