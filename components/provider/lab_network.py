"""The network of a lab, as a resource: a namespace with a bridge, made before its hosts and removed after them."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import ClassVar

from components.hosts import networks
from components.hosts.labs import Lab
from components.provider.kinds import Context, Created, Found, Kind, Values


class LabNetwork(Kind):
    """Inputs: `clone` (absolute path), `stack`, `subnet` (a /24). Outputs: `namespace`, `link`, `operator_address`."""

    type_name: ClassVar[str] = "keelson:index:LabNetwork"
    computed_outputs: ClassVar[tuple[str, ...]] = ("namespace", "link", "operator_address")

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the network, or complete what a killed run began of it."""
        lab = _lab(inputs)
        network = await asyncio.to_thread(networks.ensure, lab, ipaddress.IPv4Network(inputs["subnet"]))
        return Created(lab.id, _outputs(inputs, network))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See whether all of it is there; a machine that was restarted has none of it."""
        network = await asyncio.to_thread(networks.read, _lab(outputs))
        return None if network is None else Found(inputs, _outputs(outputs, network))

    async def delete(self, context: Context, identifier: str, outputs: Values) -> None:
        """Remove the namespace and the link."""
        await asyncio.to_thread(networks.delete, _lab(outputs))


def _lab(values: Values) -> Lab:
    return Lab(clone=Path(values["clone"]), stack=values["stack"])


def _outputs(values: Values, network: networks.Network) -> Values:
    return {
        **values,
        "namespace": network.namespace,
        "link": network.link,
        "operator_address": str(network.operator),
    }
