"""Hosts that are made ready for a cluster and no more: the host's own settings, the release, the container runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi

from components import role_variables
from components.convergence import converge
from components.machines import Host
from components.resources import Convergence
from components.role_variables import Cluster

ROLES: Final = ["base", "containerd"]
"""In the order they converge."""


@dataclass(frozen=True, slots=True)
class PreparedHostsArgs:
    """The cluster that the hosts could be of, and the hosts."""

    cluster: Cluster
    hosts: Sequence[Host]


class PreparedHosts(pulumi.ComponentResource):
    """The converged hosts."""

    convergences: tuple[Convergence, ...]

    def __init__(self, resource_name: str, args: PreparedHostsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:PreparedHosts", resource_name, None, opts)
        self.convergences = tuple(
            converge(
                host,
                roles=ROLES,
                variables={
                    **role_variables.base(args.cluster, control_plane=False),
                    **role_variables.containerd(args.cluster, host.properties),
                    **host.variables,
                },
                parent=self,
            )
            for host in args.hosts
        )
        self.register_outputs({})
