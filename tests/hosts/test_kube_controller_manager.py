"""The controller manager: its health, its lease, who may reach it, its sandbox."""

from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import Machine

ROLE = "kube_controller_manager"
UNIT = "kube-controller-manager.service"
PORT = 10257


def test_is_healthy(host: Any) -> None:
    answer = host.check_output(f"curl --silent --insecure --max-time 5 https://127.0.0.1:{PORT}/healthz")
    assert answer == "ok"


def test_answers_the_host_alone(host: Any, machine: Machine) -> None:
    assert {address for address, port in machines.listeners(host) if port == PORT} == {"127.0.0.1"}
    assert not machine.answers(PORT)


def test_metrics_need_credentials(host: Any) -> None:
    assert machines.http_status(host, f"https://127.0.0.1:{PORT}/metrics") in ("401", "403")


def test_one_host_leads(cluster: Cluster, machine: Machine, all_machines: list[Machine]) -> None:
    lease = cluster.leases.read_namespaced_lease("kube-controller-manager", "kube-system")
    holder = (lease.spec and lease.spec.holder_identity) or ""
    assert any(holder.startswith(each.name) for each in all_machines if ROLE in each.groups)


def test_sandbox(host: Any) -> None:
    names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
    assert machines.properties(host, UNIT, *names) == {
        "User": "kube-controller-manager",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
    }
    assert machines.exposure(host, UNIT) < 2


def test_authority_key_has_one_reader(host: Any) -> None:
    key = host.file("/etc/kubernetes/pki/ca.key")
    assert (key.user, key.mode) == ("kube-controller-manager", 0o400)
