"""A machine that was just started, as a resource: there once it answers SSH with the key that it was given.

The wait is one of probes. How long a boot takes is the hypervisor's business, from seconds with KVM to minutes without.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, Final

from components.hosts import surveys
from components.provider.adopted_machine import describe, survey_machine
from components.provider.connections import Target, UnreachableError, connect
from components.provider.kinds import Change, Context, Created, Found, Kind, ResourceError, Values

_BOOT_SECONDS: Final = 900.0
_PAUSE_SECONDS: Final = 1.0


class BootedMachine(Kind):
    """Inputs: those of `AdoptedMachine`, and `instance`, which is another one after the machine was made anew.

    Outputs: `host` (see `components.hosts.models.Host`), `variables` (role variables for what the machine lacks) and
    `answers`, false where it did not when it was last looked at.
    """

    type_name: ClassVar[str] = "keelson:index:BootedMachine"
    updatable: ClassVar[frozenset[str]] = frozenset(
        {"address", "port", "user", "host_key", "private_key_path", "role", "balanced", "instance"}
    )
    computed_outputs: ClassVar[tuple[str, ...]] = ("host", "variables")

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """One that does not answer is waited for again."""
        changes = await super().diff(context, old_inputs, outputs, new_inputs)
        if not outputs.get("answers", True):
            changes.append(Change(("answers",), "update", against_inputs=False))
        return changes

    async def create(self, context: Context, inputs: Values) -> Created:
        """Wait for the machine, and see that roles can converge on it."""
        return Created(inputs["name"], await self._arrival(context, inputs, None))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See whether it answers."""
        if not inputs:
            raise ResourceError(f"{identifier}: cannot be imported; it is created anew, which changes nothing")
        return Found(inputs, {**outputs, "answers": await asyncio.to_thread(_answers, Target.of(inputs))})

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Wait for it again."""
        same = outputs["instance"] == inputs["instance"]
        return await self._arrival(context, inputs, outputs["variables"] if same else None)

    async def _arrival(self, context: Context, inputs: Values, variables: Any) -> Values:
        started = time.monotonic()
        target = Target.of(inputs)
        while not await asyncio.to_thread(_answers, target):
            waited = time.monotonic() - started
            context.report.status(f"{target.name}: boots, {waited:.0f} s")
            if waited > _BOOT_SECONDS:
                raise ResourceError(f"{target.name} ({target.address}): does not answer SSH after {waited:.0f} s")
            if context.shared.gives_up():
                raise ResourceError(f"{target.name}: is not waited for any longer, since another resource failed")
            await asyncio.sleep(_PAUSE_SECONDS)
        context.report.status(f"{target.name}: booted in {time.monotonic() - started:.0f} s; is looked at")
        survey = await asyncio.to_thread(survey_machine, inputs)
        reasons = surveys.unfit(survey, target.name)
        if reasons:
            raise ResourceError(f"{target.name} ({target.address}): {'; '.join(reasons)}")
        return {
            **inputs,
            "host": describe(inputs, survey).as_properties(),
            # What was missing at first is wanted for as long as the machine lives, though it is there by now.
            "variables": variables or surveys.role_variables(survey),
            "answers": True,
        }


def _answers(target: Target) -> bool:
    try:
        with connect(target):
            return True
    except UnreachableError:
        return False
