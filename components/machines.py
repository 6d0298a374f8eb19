"""The hosts of a stack, made or adopted: whatever kind they are, the same outputs come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from components.network import Network
from components.resources import MachineContainer

Role = Literal["controlPlane", "node"]


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the other components see it.

    `properties` are those of `components.hosts.models.Host`; `resource` is what made the host, None if it was adopted;
    `variables` are role variables that this kind of host adds to those of its roles.
    """

    name: str
    address: str
    role: Role
    properties: pulumi.Output[dict[str, Any]]
    resource: pulumi.Resource | None
    variables: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict)

    def described(self, roles: Sequence[str]) -> pulumi.Output[dict[str, Any]]:
        """How the host is reached and what it runs, for the stack's outputs."""
        return self.properties.apply(
            lambda known: {
                **{key: known[key] for key in ("name", "address", "port", "user", "host_key", "private_key_path")},
                "role": self.role,
                "roles": list(roles),
            }
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host to be made: its name, its address in the lab's network and what it is for."""

    name: str
    address: str
    role: Role


@dataclass(frozen=True, slots=True)
class MachineContainersArgs:
    """The lab and the hosts wanted in it, and the tree they boot from."""

    clone: str
    stack: str
    image: str
    network: Network
    hosts: Sequence[Wanted]


class MachineContainers(pulumi.ComponentResource):
    """Hosts as machine containers on the operator's machine."""

    hosts: tuple[Host, ...]

    def __init__(
        self, resource_name: str, args: MachineContainersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("keelson:components:MachineContainers", resource_name, None, opts)
        hosts = []
        for wanted in args.hosts:
            machine = MachineContainer(
                wanted.name,
                clone=args.clone,
                stack=args.stack,
                address=wanted.address,
                image=args.image,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[args.network.lab]),
            )
            hosts.append(
                Host(
                    name=wanted.name,
                    address=wanted.address,
                    role=wanted.role,
                    properties=machine.host,
                    resource=machine,
                )
            )
        self.hosts = tuple(hosts)
        self.register_outputs({"names": [host.name for host in hosts]})
