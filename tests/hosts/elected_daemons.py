"""What holds alike for the daemons of which one host's leads: health, lease, who may reach them, sandbox."""

from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import Machine


class ElectedDaemon:
    """The checks of one daemon; a module of tests names it by a subclass that pytest collects."""

    role: str
    name: str
    port: int

    def test_is_healthy(self, host: Any) -> None:
        answer = host.check_output(f"curl --silent --insecure --max-time 5 https://127.0.0.1:{self.port}/healthz")
        assert answer == "ok"

    def test_answers_the_host_alone(self, host: Any, machine: Machine) -> None:
        assert {address for address, port in machines.listeners(host) if port == self.port} == {"127.0.0.1"}
        assert not machine.answers(self.port)

    def test_metrics_need_credentials(self, host: Any) -> None:
        assert machines.http_status(host, f"https://127.0.0.1:{self.port}/metrics") in ("401", "403")

    def test_one_host_leads(self, cluster: Cluster, machine: Machine, all_machines: list[Machine]) -> None:
        lease = cluster.leases.read_namespaced_lease(self.name, "kube-system")
        holder = (lease.spec and lease.spec.holder_identity) or ""
        assert any(holder.startswith(each.name) for each in all_machines if self.role in each.groups)

    def test_sandbox(self, host: Any) -> None:
        names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
        assert machines.properties(host, f"{self.name}.service", *names) == {
            "User": self.name,
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "CapabilityBoundingSet": "",
        }
        assert machines.exposure(host, f"{self.name}.service") < 2
