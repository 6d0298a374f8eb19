"""The control plane: on each of its hosts etcd, the API server, the scheduler and the controllers, and a node agent.

No host is special. All converge at the same time: an etcd member finds out from its peers whether to bootstrap or to
join, and health is waited for only after a host's units were started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import role_variables, workers
from components.convergence import converge
from components.machines import Host
from components.resources import Convergence
from components.role_variables import Cluster, Member


@dataclass(frozen=True, slots=True)
class ControlPlaneArgs:
    """The cluster, and the hosts of its control plane."""

    cluster: Cluster
    hosts: Sequence[Host]


class ControlPlane(pulumi.ComponentResource):
    """The converged control-plane hosts."""

    convergences: tuple[Convergence, ...]

    def __init__(self, resource_name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:ControlPlane", resource_name, None, opts)
        self.convergences = tuple(
            converge(
                host,
                roles=roles(args.cluster),
                variables=_variables(args.cluster, host),
                parent=self,
            )
            for host in args.hosts
        )
        self.register_outputs({})


def roles(cluster: Cluster) -> list[str]:
    """The roles of a control-plane host, in the order they converge."""
    balancer = ["load_balancer"] if cluster.virtual_address is not None else []
    control = ["base", "etcd", *balancer, "kube_apiserver", "kube_scheduler", "kube_controller_manager"]
    return control + workers.ROLES[1:]


def _variables(cluster: Cluster, host: Host) -> role_variables.Variables:
    member = Member(host.name, host.address)
    return {
        **workers.variables(cluster, host, control_plane=True),
        **role_variables.etcd(cluster, member),
        **role_variables.load_balancer(cluster, member),
        **role_variables.kube_apiserver(cluster, member),
        **role_variables.kube_scheduler(cluster, member),
        **role_variables.kube_controller_manager(cluster, member),
    }
