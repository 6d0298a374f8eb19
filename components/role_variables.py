"""The variables of each role, from what the components know: the one place where names of role variables are written.

One function a role, named as the role is; what a variable means is in the role's `meta/argument_specs.yml`. Values may
be outputs. Defaults stay with the roles: only what differs per stack or host is given here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import kubeconfigs
from components.pki import PublicKeyInfrastructure
from components.releases import Release
from components.resources import Certificate

Variables = dict[str, Any]
CLUSTER = "keelson"


@dataclass(frozen=True, slots=True)
class Member:
    """A host of the cluster: its name and its address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is the same on every host of a cluster."""

    release: Release
    pki: PublicKeyInfrastructure
    members: tuple[Member, ...]
    control_plane: tuple[Member, ...]
    endpoint_address: str
    virtual_address: str | None
    pod_network: str
    service_network: str
    dns_address: str
    cluster_domain: str
    node_pod_prefix: int
    cluster_token: str
    bootstrap_token: pulumi.Output[str]
    encryption_key: pulumi.Output[str]

    @property
    def endpoint(self) -> str:
        """The API's URL for everyone who is not on a control-plane host."""
        return f"https://{self.endpoint_address}:6443"


def base(cluster: Cluster, *, control_plane: bool) -> Variables:
    """The release, the hosts' names, the cluster's trust anchors."""
    return {
        "base_bundle_archive": cluster.release.bundle.path,
        "base_bundle_version": cluster.release.version,
        "base_bundle_digest": cluster.release.bundle.digest,
        "base_ca_certificate": cluster.pki.cluster.certificate,
        "base_etcd_ca_certificate": cluster.pki.etcd.certificate if control_plane else "",
        "base_hosts": [{"name": member.name, "address": member.address} for member in cluster.members],
    }


def etcd(cluster: Cluster, member: Member) -> Variables:
    """One member of the stacked etcd."""
    server = cluster.pki.of_host(member.name, "etcd-server")
    peer = cluster.pki.of_host(member.name, "etcd-peer")
    client = cluster.pki.of_host(member.name, "etcd-healthcheck")
    return {
        "etcd_member_name": member.name,
        "etcd_address": member.address,
        "etcd_members": [{"name": other.name, "address": other.address} for other in cluster.control_plane],
        "etcd_cluster_token": cluster.cluster_token,
        "etcd_server_certificate": server.certificate,
        "etcd_server_key": server.private_key,
        "etcd_peer_certificate": peer.certificate,
        "etcd_peer_key": peer.private_key,
        "etcd_client_certificate": client.certificate,
        "etcd_client_key": client.private_key,
    }


def load_balancer(cluster: Cluster, member: Member) -> Variables:
    """The virtual address in front of the API servers; the first healthy host of the list holds it."""
    if cluster.virtual_address is None:
        return {}
    rank = [other.name for other in cluster.control_plane].index(member.name)
    return {
        "load_balancer_virtual_address": cluster.virtual_address,
        "load_balancer_servers": [{"name": other.name, "address": other.address} for other in cluster.control_plane],
        "load_balancer_address": member.address,
        "load_balancer_peer_addresses": [other.address for other in cluster.control_plane if other.name != member.name],
        # Two stacks on one wire must not hear each other: the address's last byte tells them apart.
        "load_balancer_router_id": int(ipaddress.IPv4Address(cluster.virtual_address)) % 255 + 1,
        "load_balancer_priority": 200 - rank,
    }


def kube_apiserver(cluster: Cluster, member: Member) -> Variables:
    """The API server of one host; it asks its own etcd member first."""
    serving = cluster.pki.of_host(member.name, "apiserver")
    kubelet_client = cluster.pki.of_host(member.name, "kubelet-client")
    etcd_client = cluster.pki.of_host(member.name, "etcd-client")
    front_proxy = cluster.pki.of_host(member.name, "front-proxy-client")
    others = [other.address for other in cluster.control_plane if other.name != member.name]
    return {
        "kube_apiserver_release": cluster.release.version,
        "kube_apiserver_address": member.address,
        "kube_apiserver_etcd_servers": [f"https://{address}:2379" for address in [member.address, *others]],
        "kube_apiserver_service_cluster_ip_range": cluster.service_network,
        "kube_apiserver_service_account_issuer": f"https://kubernetes.default.svc.{cluster.cluster_domain}",
        "kube_apiserver_certificate": serving.certificate,
        "kube_apiserver_key": serving.private_key,
        "kube_apiserver_kubelet_client_certificate": kubelet_client.certificate,
        "kube_apiserver_kubelet_client_key": kubelet_client.private_key,
        "kube_apiserver_etcd_client_certificate": etcd_client.certificate,
        "kube_apiserver_etcd_client_key": etcd_client.private_key,
        "kube_apiserver_front_proxy_ca_certificate": cluster.pki.front_proxy.certificate,
        "kube_apiserver_front_proxy_client_certificate": front_proxy.certificate,
        "kube_apiserver_front_proxy_client_key": front_proxy.private_key,
        "kube_apiserver_service_account_public_key": cluster.pki.service_accounts.public_key,
        "kube_apiserver_service_account_key": cluster.pki.service_accounts.private_key,
        "kube_apiserver_encryption_key": cluster.encryption_key,
    }


def kube_scheduler(cluster: Cluster, member: Member) -> Variables:
    """The scheduler, which speaks to the API server of its own host."""
    certificate = cluster.pki.of_host(member.name, "scheduler")
    return {
        "kube_scheduler_release": cluster.release.version,
        "kube_scheduler_kubeconfig": _kubeconfig(
            cluster, f"https://{member.address}:6443", "system:kube-scheduler", certificate
        ),
    }


def kube_controller_manager(cluster: Cluster, member: Member) -> Variables:
    """The controllers, which speak to the API server of their own host and sign kubelets' certificates."""
    certificate = cluster.pki.of_host(member.name, "controller-manager")
    return {
        "kube_controller_manager_release": cluster.release.version,
        "kube_controller_manager_kubeconfig": _kubeconfig(
            cluster, f"https://{member.address}:6443", "system:kube-controller-manager", certificate
        ),
        "kube_controller_manager_ca_key": cluster.pki.cluster.private_key,
        "kube_controller_manager_cluster_cidr": cluster.pod_network,
        "kube_controller_manager_service_cluster_ip_range": cluster.service_network,
        "kube_controller_manager_node_cidr_mask_size": cluster.node_pod_prefix,
    }


def containerd(cluster: Cluster, host: pulumi.Output[dict[str, Any]]) -> Variables:
    """The container runtime: what the host cannot enforce is switched off by name."""
    return {
        "containerd_images": [
            {"name": image.name, "archive": image.path, "digest": image.digest} for image in cluster.release.images
        ],
        "containerd_disable_cgroup": host.apply(lambda known: not _has_cgroups(known)),
        "containerd_systemd_cgroup": host.apply(_has_cgroups),
        "containerd_restrict_oom_score_adj": host.apply(lambda known: not known["enforces"]["oom_score"]),
    }


def kubelet(cluster: Cluster, member: Member, host: pulumi.Output[dict[str, Any]], *, control_plane: bool) -> Variables:
    """The node agent, which joins by the bootstrap token."""
    taint = {"key": "node-role.kubernetes.io/control-plane", "value": "", "effect": "NoSchedule"}
    return {
        "kubelet_release": cluster.release.version,
        "kubelet_node_name": member.name,
        "kubelet_address": member.address,
        "kubelet_bootstrap_kubeconfig": pulumi.Output.all(
            cluster.pki.cluster.certificate, cluster.bootstrap_token
        ).apply(
            lambda values: kubeconfigs.by_token(
                cluster=CLUSTER,
                server=cluster.endpoint,
                authority=values[0],
                user="kubelet-bootstrap",
                token=values[1],
            )
        ),
        "kubelet_cluster_dns": [cluster.dns_address],
        "kubelet_cluster_domain": cluster.cluster_domain,
        # Where all hosts are of the control plane, they run the workloads too.
        "kubelet_register_taints": [taint] if control_plane and cluster.members != cluster.control_plane else [],
        "kubelet_cgroup_driver": host.apply(lambda known: "systemd" if _has_cgroups(known) else "cgroupfs"),
        "kubelet_cgroups_enforced": host.apply(_has_cgroups),
    }


def kube_proxy(cluster: Cluster, member: Member) -> Variables:
    """The service proxy."""
    certificate = cluster.pki.of_node(member.name, "kube-proxy", "system:kube-proxy", [])
    return {
        "kube_proxy_release": cluster.release.version,
        "kube_proxy_node_name": member.name,
        "kube_proxy_kubeconfig": _kubeconfig(cluster, cluster.endpoint, "system:kube-proxy", certificate),
        "kube_proxy_cluster_cidr": cluster.pod_network,
    }


def pod_network(cluster: Cluster, member: Member) -> Variables:
    """The routes between hosts' pods; its user is bound to a role of ours that may watch Nodes."""
    certificate = cluster.pki.of_node(member.name, "pod-network", POD_NETWORK_USER, [])
    return {
        "pod_network_release": cluster.release.version,
        "pod_network_node_name": member.name,
        "pod_network_cluster_cidr": cluster.pod_network,
        "pod_network_kubeconfig": _kubeconfig(cluster, cluster.endpoint, POD_NETWORK_USER, certificate),
    }


POD_NETWORK_USER = "keelson:pod-network"


def _has_cgroups(host: Mapping[str, Any]) -> bool:
    controllers: Sequence[str] = host["enforces"]["cgroup_controllers"]
    return {"cpu", "memory", "pids"} <= set(controllers)


def _kubeconfig(cluster: Cluster, server: str, user: str, certificate: Certificate) -> pulumi.Output[str]:
    parts = pulumi.Output.all(cluster.pki.cluster.certificate, certificate.certificate, certificate.private_key)
    return parts.apply(
        lambda values: kubeconfigs.by_certificate(
            cluster=CLUSTER, server=server, authority=values[0], user=user, certificate=values[1], key=values[2]
        )
    )
