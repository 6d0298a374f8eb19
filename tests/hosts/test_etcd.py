"""A member of etcd: its cluster, its certificates, who may reach it, its sandbox."""

import datetime
import json
import ssl
from typing import Any

import pytest

from tests.hosts import machines
from tests.hosts.machines import PKI, Machine

ROLE = "etcd"


def test_cluster_is_healthy(host: Any, machine: Machine) -> None:
    answer = json.loads(
        machines.etcdctl(host, machine.address, "endpoint health --cluster --write-out=json 2>/dev/null")
    )
    assert all(member["health"] for member in answer)


def test_members_are_those_meant(host: Any, machine: Machine, all_machines: list[Machine]) -> None:
    listed = json.loads(machines.etcdctl(host, machine.address, "member list --write-out=json"))["members"]
    assert sorted(member.get("name", "") for member in listed) == sorted(
        each.name for each in all_machines if ROLE in each.groups
    )
    assert not any(member.get("isLearner") for member in listed)


def test_no_alarm(host: Any, machine: Machine) -> None:
    assert machines.etcdctl(host, machine.address, "alarm list") == ""


@pytest.mark.parametrize("name", ["server", "peer"])
def test_certificates(host: Any, machine: Machine, soon: datetime.datetime, name: str) -> None:
    found = machines.certificate(host, f"{PKI}/etcd/{name}.crt")
    assert machine.address in machines.alternative_names(found)
    assert found.not_valid_after_utc > soon
    assert machines.issued_by(found, machines.certificate(host, f"{PKI}/etcd/ca.crt"))


@pytest.mark.parametrize("port", [2379, 2380])
def test_a_client_without_a_certificate_is_refused(host: Any, machine: Machine, port: int) -> None:
    authority = machines.certificate(host, f"{PKI}/etcd/ca.crt")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        machines.request(machine.address, port, "/health", authority)


def test_metrics_are_for_the_host_alone(host: Any, machine: Machine) -> None:
    assert ("127.0.0.1", 2381) in machines.listeners(host)
    assert not machine.answers(2381)


def test_data_is_for_the_daemon_alone(host: Any) -> None:
    folder = host.file("/var/lib/etcd")
    assert (folder.user, folder.mode) == ("etcd", 0o700)


def test_sandbox(host: Any) -> None:
    shown = machines.properties(
        host, "etcd.service", "User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet"
    )
    assert shown == {"User": "etcd", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}
    assert machines.exposure(host, "etcd.service") < 2
