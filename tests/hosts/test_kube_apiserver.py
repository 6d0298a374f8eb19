"""The API server: its certificate, who may ask what, what reaches etcd, its sandbox."""

import datetime
import ipaddress
import json
import re
from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import PKI, Machine

ROLE = "kube_apiserver"
PORT = 6443


def test_is_ready(host: Any, machine: Machine) -> None:
    assert machines.request(machine.address, PORT, "/readyz", machines.certificate(host, f"{PKI}/ca.crt")) == (
        200,
        b"ok",
    )


def test_certificate(host: Any, machine: Machine, soon: datetime.datetime) -> None:
    found = machines.certificate(host, f"{PKI}/apiserver.crt")
    names = machines.alternative_names(found)
    assert {machine.address, "kubernetes", "kubernetes.default", "kubernetes.default.svc"} <= names
    if services := machine.variables.get("service_network"):
        assert str(ipaddress.ip_network(services)[1]) in names
    if virtual := machine.variables.get("virtual_address"):
        assert virtual in names
    assert found.not_valid_after_utc > soon
    assert machines.issued_by(found, machines.certificate(host, f"{PKI}/ca.crt"))


def test_nobody_may_ask_for_secrets(host: Any, machine: Machine) -> None:
    authority = machines.certificate(host, f"{PKI}/ca.crt")
    status, _ = machines.request(machine.address, PORT, "/api/v1/namespaces/kube-system/secrets", authority)
    assert status in (401, 403)


def test_old_tls_is_refused(machine: Machine) -> None:
    assert machines.refuses_old_tls(machine.address, PORT)


def test_secrets_are_encrypted_at_rest(host: Any, machine: Machine, cluster: Cluster) -> None:
    name = f"at-rest-{machine.name}"
    cluster.keep_secret(name, "plain")
    key = f"/registry/secrets/{cluster.namespace}/{name}"
    stored = machines.etcdctl(host, machine.address, f"get --print-value-only {key} | head -c 21")
    assert stored.startswith("k8s:enc:secretbox:v1:")


def test_listens_on_its_own_address_alone(host: Any, machine: Machine) -> None:
    """The virtual address on the same port is the load balancer's."""
    pid = machines.properties(host, "kube-apiserver.service", "MainPID")["MainPID"]
    lines = host.check_output("ss --no-header --listening --tcp --numeric --processes").splitlines()
    assert {line.split()[3] for line in lines if f"pid={pid}," in line} == {f"{machine.address}:{PORT}"}


def test_knows_its_peers(host: Any, machine: Machine) -> None:
    """The mixed-version proxy (KEP-4020) is on, and each server answers this one as it would ask it."""
    asking = f"curl --silent --show-error --fail --max-time 5 --cacert {PKI}/ca.crt"
    asking += f" --cert {PKI}/front-proxy-client.crt --key {PKI}/front-proxy-client.key"
    asking += " --header 'X-Remote-User: system:apiserver' --header 'X-Remote-Group: system:authenticated'"
    health = f"https://{machine.address}:{PORT}/readyz/poststarthook/mixed-version-proxy-handler"
    # Whoever monitors may see single checks.
    assert host.check_output(f"{asking} --header 'X-Remote-Group: system:monitoring' {health}") == "ok"
    places = machines.etcdctl(host, machine.address, "get --prefix --print-value-only /registry/peerserverleases/")
    addresses = set(re.findall(r'"ip": ?"([^"]+)"', places))
    assert machine.address in addresses
    for address in addresses:
        found = host.check_output(
            f"{asking} --connect-to ::{address}:{PORT} https://kubernetes.default.svc:{PORT}/apis"
        )
        assert json.loads(found)["kind"] == "APIGroupList"


def test_sandbox(host: Any) -> None:
    names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
    assert machines.properties(host, "kube-apiserver.service", *names) == {
        "User": "kube-apiserver",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
    }
    assert machines.exposure(host, "kube-apiserver.service") < 2


def test_signing_key_has_two_readers(host: Any) -> None:
    key = host.file(f"{PKI}/sa.key")
    assert (key.user, key.group, key.mode) == ("kube-apiserver", "kube-controller-manager", 0o440)


def test_serves_version(host: Any, machine: Machine) -> None:
    authority = machines.certificate(host, f"{PKI}/ca.crt")
    status, body = machines.request(machine.address, PORT, "/version", authority)
    assert status == 200
    assert json.loads(body)["major"] == "1"


def test_its_node_is_known_as_control_plane(cluster: Cluster, machine: Machine) -> None:
    assert "node-role.kubernetes.io/control-plane" in cluster.node(machine.name).metadata.labels
