"""What every host of a cluster runs, control plane or not: the runtime, the node agent, the proxy, the pod network."""

from __future__ import annotations

from typing import Final

from components import role_variables
from components.machines import Host
from components.role_variables import Cluster, Member, Variables

ROLES: Final = ["base", "containerd", "kubelet", "kube_proxy", "pod_network"]
"""In the order they converge; `base` is first on every host."""


def variables(cluster: Cluster, host: Host, *, control_plane: bool) -> Variables:
    """The variables of `ROLES` for one host."""
    member = Member(host.name, host.address)
    return {
        **role_variables.base(cluster, control_plane=control_plane),
        **role_variables.containerd(cluster, host.properties),
        **role_variables.kubelet(cluster, member, host.properties, control_plane=control_plane),
        **role_variables.kube_proxy(cluster, member),
        **role_variables.pod_network(cluster, member),
        **host.variables,
    }


def told(cluster: Cluster, host: Host) -> Variables:
    """What the checks of a host compare it with: nothing secret."""
    return {
        "endpoint": cluster.endpoint,
        "control_plane": host.role == "controlPlane",
        "etcd_members": [member.name for member in cluster.control_plane],
        "virtual_address": cluster.virtual_address or "",
        "pod_network": cluster.pod_network,
        "service_network": cluster.service_network,
        "dns_address": cluster.dns_address,
        "cluster_domain": cluster.cluster_domain,
        "bundle_version": cluster.release.version,
    }
