"""The scheduler: its health, its lease, who may reach it, its sandbox."""

from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import Machine

ROLE = "kube_scheduler"
UNIT = "kube-scheduler.service"
PORT = 10259


def test_is_healthy(host: Any) -> None:
    answer = host.check_output(f"curl --silent --insecure --max-time 5 https://127.0.0.1:{PORT}/healthz")
    assert answer == "ok"


def test_answers_the_host_alone(host: Any, machine: Machine) -> None:
    assert {address for address, port in machines.listeners(host) if port == PORT} == {"127.0.0.1"}
    assert not machine.answers(PORT)


def test_metrics_need_credentials(host: Any) -> None:
    assert machines.http_status(host, f"https://127.0.0.1:{PORT}/metrics") in ("401", "403")


def test_one_host_leads(cluster: Cluster, machine: Machine, all_machines: list[Machine]) -> None:
    lease = cluster.leases.read_namespaced_lease("kube-scheduler", "kube-system")
    holder = (lease.spec and lease.spec.holder_identity) or ""
    assert any(holder.startswith(each.name) for each in all_machines if ROLE in each.groups)


def test_sandbox(host: Any) -> None:
    names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
    assert machines.properties(host, UNIT, *names) == {
        "User": "kube-scheduler",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
    }
    assert machines.exposure(host, UNIT) < 2
