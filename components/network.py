"""Where a stack's hosts live: the lab's network. Machines that exist already need none."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.resources import LabNetwork


@dataclass(frozen=True, slots=True)
class NetworkArgs:
    """The lab, by its clone and stack, and the hosts' /24."""

    clone: str
    stack: str
    subnet: str


class Network(pulumi.ComponentResource):
    """The lab's network; hosts name `namespace` among their inputs so that it exists before them."""

    def __init__(self, resource_name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:Network", resource_name, None, opts)
        self.lab = LabNetwork(
            resource_name,
            clone=args.clone,
            stack=args.stack,
            subnet=args.subnet,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"operator_address": self.lab.operator_address})
