"""The components, with Pulumi's mocks: what is declared for a cluster, and that its secrets stay secret."""

from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks
from pulumi.runtime.stack import wait_for_rpcs

from components import control_plane, kubeconfigs, workers
from components.addons import dns, joining
from components.machines import Host, MachineContainers, MachineContainersArgs, Wanted
from components.network import Network, NetworkArgs
from components.node_pool import NodePool, NodePoolArgs
from components.pki import Names, PublicKeyInfrastructure, PublicKeyInfrastructureArgs
from components.releases import Archive, Release
from components.role_variables import Cluster, Member
from components.secrets import Secrets

CONTROL_PLANE = [Names("ha-cp-1", "192.0.2.11"), Names("ha-cp-2", "192.0.2.12"), Names("ha-cp-3", "192.0.2.13")]


class Recorder(mocks.Mocks):
    """Stands for the engine: keeps what is registered and gives the outputs that components read."""

    def __init__(self) -> None:
        self.registered: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.registered[args.typ.rsplit(":", 1)[-1], args.name] = args.inputs
        outputs = {
            "certificate": f"certificate of {args.name}",
            "private_key": f"PRIVATE of {args.name}",
            "public_key": f"public of {args.name}",
            "not_after": "2027-01-01T00:00:00Z",
            "value": f"SECRET of {args.name}",
            "host": {"name": args.name, "enforces": {"cgroup_controllers": [], "oom_score": False}},
            "generation": 1,
        }
        return args.name, {**args.inputs, **outputs}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


@pytest.fixture
async def recorder(worker_threads: None) -> Recorder:
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, preview=False)
    return recorder


def build(virtual_address: str | None) -> tuple[Cluster, tuple[Host, ...]]:
    names = CONTROL_PLANE if virtual_address else CONTROL_PLANE[:1]
    pki = PublicKeyInfrastructure(
        "pki",
        PublicKeyInfrastructureArgs(
            control_plane=names,
            endpoint_address=virtual_address or names[0].address,
            kubernetes_service_address="172.16.0.1",
            cluster_domain="cluster.local",
            certificate_days=365,
        ),
    )
    secrets = Secrets("secrets")
    network = Network("network", NetworkArgs(clone="/clone", stack="ha", subnet="192.0.2.0/24"))
    wanted = [Wanted(name.name, name.address, "controlPlane") for name in names]
    hosts = MachineContainers(
        "hosts",
        MachineContainersArgs(
            clone="/clone",
            stack="ha",
            image="/image",
            network=network,
            hosts=[*wanted, Wanted("ha-node-1", "192.0.2.31", "node")],
        ),
    ).hosts
    members = tuple(Member(host.name, host.address) for host in hosts)
    image = Archive("registry.k8s.io/coredns/coredns:v1", "/coredns.tar", "c")
    cluster = Cluster(
        release=Release("1", Archive("bundle", "/bundle", "b"), (image,)),
        pki=pki,
        members=members,
        control_plane=members[: len(names)],
        endpoint_address=virtual_address or names[0].address,
        virtual_address=virtual_address,
        pod_network="10.128.0.0/18",
        service_network="172.16.0.0/20",
        dns_address="172.16.0.10",
        cluster_domain="cluster.local",
        node_pod_prefix=24,
        cluster_token="token",
        bootstrap_token=secrets.bootstrap_token,
        encryption_key=secrets.encryption_key,
    )
    return cluster, hosts


async def test_a_control_plane_host_has_its_own_names_and_its_peers(recorder: Recorder) -> None:
    cluster, hosts = build("192.0.2.10")
    control_plane.ControlPlane("cp", control_plane.ControlPlaneArgs(cluster, hosts[:3]))
    await wait_for_rpcs()
    inputs = recorder.registered["Convergence", "ha-cp-2"]
    variables = inputs["variables"]
    assert inputs["roles"][:4] == ["base", "etcd", "load_balancer", "kube_apiserver"]
    assert variables["etcd_member_name"] == "ha-cp-2"
    assert [member["name"] for member in variables["etcd_members"]] == ["ha-cp-1", "ha-cp-2", "ha-cp-3"]
    assert variables["kube_apiserver_etcd_servers"][0] == "https://192.0.2.12:2379"
    assert variables["load_balancer_peer_addresses"] == ["192.0.2.11", "192.0.2.13"]
    assert variables["containerd_disable_cgroup"] is True
    assert variables["kubelet_register_taints"][0]["effect"] == "NoSchedule"
    serving = recorder.registered["Certificate", "ha-cp-2-apiserver"]
    assert {"192.0.2.10", "192.0.2.12", "172.16.0.1"} <= set(serving["ip_addresses"])


async def test_a_node_gets_no_key_of_the_control_plane(recorder: Recorder) -> None:
    cluster, hosts = build(None)
    NodePool("nodes", NodePoolArgs(cluster, [hosts[-1]]))
    await wait_for_rpcs()
    inputs = recorder.registered["Convergence", "ha-node-1"]
    assert inputs["roles"] == workers.ROLES
    text = str(inputs["variables"])
    for foreign in ("PRIVATE of cluster", "PRIVATE of etcd", "PRIVATE of service-accounts", "encryption-key"):
        assert foreign not in text
    assert inputs["variables"]["base_etcd_ca_certificate"] == ""
    assert inputs["variables"]["kubelet_register_taints"] == []


async def test_one_host_needs_no_load_balancer(recorder: Recorder) -> None:
    cluster, _ = build(None)
    assert "load_balancer" not in control_plane.roles(cluster)
    assert cluster.endpoint == "https://192.0.2.11:6443"
    await wait_for_rpcs()


def test_a_kubeconfig_says_who_and_where() -> None:
    text = kubeconfigs.by_certificate(
        cluster="keelson-dev",
        server="https://192.0.2.11:6443",
        authority="CA",
        user="admin",
        certificate="CRT",
        key="KEY",
    )
    config = yaml.safe_load(text)
    assert config["clusters"][0]["cluster"] == {
        "server": "https://192.0.2.11:6443",
        "certificate-authority-data": "Q0E=",
    }
    assert config["users"][0]["user"] == {"client-certificate-data": "Q1JU", "client-key-data": "S0VZ"}
    assert config["current-context"] == config["contexts"][0]["name"]


def test_a_bootstrap_token_is_a_secret_of_kube_system() -> None:
    secret = joining("abcdef.0123456789abcdef")[0]
    assert secret["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    assert secret["data"]["token-id"] == "YWJjZGVm"


def test_the_dns_has_the_address_that_kubelets_were_told() -> None:
    service = dns(address="172.16.0.10", image="coredns:1", domain="cluster.local")[-1]
    assert service["metadata"]["name"] == "kube-dns"
    assert service["spec"]["clusterIP"] == "172.16.0.10"
