"""The hosts of a stack whose machines exist already: each is looked at, and none is converged before all were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.machines import Host, Role
from components.resources import AdoptedMachine


@dataclass(frozen=True, slots=True)
class Existing:
    """A machine as the stack's settings tell of it; `private_key_path` is the operator's key for it."""

    name: str
    address: str
    port: int
    user: str
    host_key: str
    private_key_path: str
    role: Role


@dataclass(frozen=True, slots=True)
class AdoptedMachinesArgs:
    """The machines; `balanced` says whether the control plane has a virtual address."""

    machines: Sequence[Existing]
    balanced: bool


class AdoptedMachines(pulumi.ComponentResource):
    """Hosts that the stack did not make and does not end."""

    hosts: tuple[Host, ...]

    def __init__(
        self, resource_name: str, args: AdoptedMachinesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("keelson:components:AdoptedMachines", resource_name, None, opts)
        machines = [
            AdoptedMachine(
                existing.name,
                address=existing.address,
                port=existing.port,
                user=existing.user,
                host_key=existing.host_key,
                private_key_path=existing.private_key_path,
                role=existing.role,
                balanced=args.balanced,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for existing in args.machines
        ]
        # Each host's properties wait for all machines: a stack with one that is unfit changes none.
        surveyed = pulumi.Output.all(*(machine.host for machine in machines))
        self.hosts = tuple(
            Host(
                name=existing.name,
                address=existing.address,
                role=existing.role,
                properties=_one_of(surveyed, index),
                resource=None,
                variables={name: machines[index].variables[name] for name in ("base_packages", "base_kernel_modules")},
            )
            for index, existing in enumerate(args.machines)
        )
        self.register_outputs({"names": [host.name for host in self.hosts]})


def _one_of(surveyed: pulumi.Output[list[Any]], index: int) -> pulumi.Output[dict[str, Any]]:
    return surveyed.apply(lambda hosts: dict(hosts[index]))
