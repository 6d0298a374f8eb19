"""A host that is a machine container, as a resource: created and booted, seen when it is off, and started again.

A host keeps the image it was made from. A newer image is for new hosts: replacing all members of a cluster because a
package was updated would be the very outage that a declarative tool is there to prevent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from components.hosts import machine_containers
from components.hosts.labs import Lab
from components.provider.kinds import Change, Context, Created, Failure, Found, Kind, PartialError, Values
from components.provider.property_values import Properties
from components.setup.errors import SetupError


class MachineContainer(Kind):
    """Inputs: `clone`, `stack`, `name`, `address`, `image` (the tree's path), and the check's `running`, which is true.

    Outputs: `host` (see `components.hosts.models.Host`) and `running`, false where the plug was pulled.
    """

    type_name: ClassVar[str] = "keelson:index:MachineContainer"
    ignored: ClassVar[frozenset[str]] = frozenset({"image", "running"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("host",)

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """A host of a stack is meant to run."""
        return {**inputs.values, "running": True}, []

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Another name or address is another host; one that is off is started."""
        changes = await super().diff(context, old_inputs, outputs, new_inputs)
        if not outputs.get("running", False):
            changes.append(Change(("running",), "update", against_inputs=False))
        return changes

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the host and boot it, or go on where a killed run stopped."""
        lab = _lab(inputs)
        context.report.status(f"{inputs['name']}: boots")
        spec = machine_containers.Spec(name=inputs["name"], address=inputs["address"], image=inputs["image"])
        existing = await asyncio.to_thread(machine_containers.read, lab, spec.name)
        if existing is not None and existing.spec.address == spec.address:
            spec = existing.spec
        try:
            state = await asyncio.to_thread(machine_containers.create, lab, spec)
        except SetupError as error:
            # Part of the host may exist; recorded, it is completed by the next update or removed by a destroy.
            raise PartialError(str(error), identifier=spec.name, outputs={**inputs, "running": False}) from error
        return Created(spec.name, _outputs(inputs, state))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See whether the host is there, and on."""
        state = await asyncio.to_thread(machine_containers.read, _lab(outputs), identifier)
        return None if state is None else Found(inputs, _outputs(outputs, state))

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Start the host, or complete a create that failed."""
        return (await self.create(context, inputs)).outputs

    async def delete(self, context: Context, identifier: str, outputs: Values) -> None:
        """Remove the host and everything it has."""
        await asyncio.to_thread(machine_containers.delete, _lab(outputs), identifier)


def _lab(values: Values) -> Lab:
    return Lab(clone=Path(values["clone"]), stack=values["stack"])


def _outputs(values: Values, state: machine_containers.State) -> Values:
    return {**values, "host": state.host.as_properties(), "running": state.running}
