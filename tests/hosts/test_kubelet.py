"""The node agent: its Node, its own certificate, who may ask it, what a node must not have."""

import datetime
from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import PKI, Machine

ROLE = "kubelet"


def test_is_healthy(host: Any) -> None:
    assert host.check_output("curl --silent --max-time 5 http://127.0.0.1:10248/healthz") == "ok"


def test_node_is_ready(cluster: Cluster, machine: Machine) -> None:
    node = cluster.node(machine.name)
    ready = [each for each in node.status.conditions if each.type == "Ready"]
    assert [each.status for each in ready] == ["True"], ready
    assert ("InternalIP", machine.address) in {(each.type, each.address) for each in node.status.addresses}


def test_has_a_certificate_of_its_own(host: Any, machine: Machine) -> None:
    """It joined by a token; what it uses from then on is its own, and is renewed before it ends."""
    found = machines.certificate(host, "/var/lib/kubelet/pki/kubelet-client-current.pem")
    names = {each.rfc4514_attribute_name: each.value for each in found.subject}
    assert (names["O"], names["CN"]) == ("system:nodes", f"system:node:{machine.name}")
    assert machines.issued_by(found, machines.certificate(host, f"{PKI}/ca.crt"))
    assert found.not_valid_after_utc > datetime.datetime.now(datetime.UTC)


def test_strangers_are_refused(host: Any, machine: Machine) -> None:
    """Upstream: authentication.anonymous.enabled is false, so that no credentials means 401."""
    assert machines.http_status(host, f"https://{machine.address}:10250/pods") == "401"


def test_read_only_port_is_closed(machine: Machine) -> None:
    assert not machine.answers(10255)
    assert not machine.answers(10248)


def test_authority_key_is_not_on_nodes(host: Any, machine: Machine) -> None:
    assert host.file(f"{PKI}/ca.key").exists == ("kube_controller_manager" in machine.groups)


def test_credentials_are_for_root_alone(host: Any) -> None:
    for path in ("/etc/kubernetes/bootstrap-kubelet.conf", "/etc/kubernetes/kubelet.conf"):
        file = host.file(path)
        assert (file.user, file.mode) == ("root", 0o600), path
