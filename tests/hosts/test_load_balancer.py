"""The API's virtual address: held by one host, served by whoever holds it."""

from typing import Any

import pytest

from tests.hosts import machines
from tests.hosts.machines import PKI, Machine

ROLE = "load_balancer"
PORT = 6443


@pytest.fixture
def virtual(machine: Machine) -> str:
    """The virtual address."""
    address = str(machine.variables["virtual_address"])
    assert address
    return address


def test_every_balancer_listens(host: Any, virtual: str) -> None:
    assert (virtual, PORT) in machines.listeners(host)


def test_one_host_holds_the_address(virtual: str, all_machines: list[Machine], connections: Any) -> None:
    holders = []
    for machine in all_machines:
        if ROLE in machine.groups:
            host = connections.to(machine)
            if f" {virtual}/" in host.check_output("ip -4 -oneline address show"):
                holders.append(machine.name)
    assert len(holders) == 1


def test_api_is_ready_behind_the_address(host: Any, virtual: str) -> None:
    authority = machines.certificate(host, f"{PKI}/ca.crt")
    assert machines.request(virtual, PORT, "/readyz", authority) == (200, b"ok")


def test_sees_every_server(host: Any, all_machines: list[Machine]) -> None:
    command = "echo 'show stat' | socat - UNIX-CONNECT:/run/haproxy/admin.sock | grep ^kube-apiserver, | cut -d, -f2,18"
    states = dict(line.split(",") for line in host.check_output(command).splitlines())
    servers = {each.name for each in all_machines if "kube_apiserver" in each.groups}
    assert {name for name, state in states.items() if state == "UP"} - {"BACKEND"} == servers


def test_control_socket_is_for_root_alone(host: Any) -> None:
    socket = host.file("/run/haproxy/admin.sock")
    assert (socket.user, socket.mode) == ("root", 0o600)


def test_health_page_is_for_the_host_alone(machine: Machine) -> None:
    assert not machine.answers(8405)


def test_sandbox(host: Any) -> None:
    shown = machines.properties(host, "haproxy.service", "NoNewPrivileges", "ProtectSystem", "Restart")
    assert shown == {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "Restart": "always"}
    assert machines.exposure(host, "haproxy.service") < 5
