"""A pool of nodes: hosts that only run workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import workers
from components.convergence import converge
from components.machines import Host
from components.resources import Convergence
from components.role_variables import Cluster


@dataclass(frozen=True, slots=True)
class NodePoolArgs:
    """The cluster, and the hosts of the pool."""

    cluster: Cluster
    hosts: Sequence[Host]


class NodePool(pulumi.ComponentResource):
    """The converged nodes."""

    convergences: tuple[Convergence, ...]

    def __init__(self, resource_name: str, args: NodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:NodePool", resource_name, None, opts)
        self.convergences = tuple(
            converge(
                host,
                roles=workers.ROLES,
                variables=workers.variables(args.cluster, host, control_plane=False),
                parent=self,
            )
            for host in args.hosts
        )
        self.register_outputs({})
