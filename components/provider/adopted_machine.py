"""A machine that exists before the stack does, as a resource: looked at when it is adopted, let go when it is deleted.

A create changes nothing on the machine. So all machines of a stack are found fit, or one is named that is not, before
the first of them is converged; and what a create saw is in the state, for the release to put it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from components.hosts import bare_metal, surveys
from components.hosts.models import Host
from components.provider import convergence
from components.provider.connections import ImpostorError, Target, connect
from components.provider.kinds import Change, Context, Created, Failure, Found, Kind, ResourceError, Values
from components.provider.property_values import UNKNOWN, Properties

_RELEASE_SECONDS: Final = 300.0


class AdoptedMachine(Kind):
    """Inputs: `name`, `address`, `port`, `user`, `host_key`, `private_key_path`, `role` (controlPlane or node) and
    `balanced` (whether there is a virtual address).

    Outputs: `host` (see `components.hosts.models.Host`), `variables` (role variables for what the machine lacks) and
    `before` (what the machine was, for the release).
    """

    type_name: ClassVar[str] = "keelson:index:AdoptedMachine"
    # Where and as whom it is reached may change; another name or host key is another machine.
    updatable: ClassVar[frozenset[str]] = frozenset({"address", "port", "user", "private_key_path", "role", "balanced"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("host", "variables", "before")

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """The operator's key must be there: no machine could be reached without it."""
        path = inputs.values.get("private_key_path")
        if path is not UNKNOWN and not await asyncio.to_thread(Path(str(path)).is_file):
            return inputs.values, [Failure("private_key_path", f"{inputs.values.get('name')}: there is no file {path}")]
        return inputs.values, []

    async def create(self, context: Context, inputs: Values) -> Created:
        """Look whether the machine can be what it is meant to be."""
        context.report.status(f"{inputs['name']}: is looked at")
        survey = await asyncio.to_thread(survey_machine, inputs)
        _refuse(inputs, bare_metal.reasons(survey, inputs["name"]))
        outputs = {
            **inputs,
            "host": describe(inputs, survey).as_properties(),
            "variables": surveys.role_variables(survey),
            "before": bare_metal.before(survey),
        }
        return Created(inputs["name"], outputs)

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See that the machine answers and is still itself. One that does not is an error and not gone."""
        if not inputs:
            raise ResourceError(f"{identifier}: an adoption cannot be imported; it is created anew, which is safe")
        await asyncio.to_thread(_greet, _target(inputs))
        return Found(inputs, outputs)

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Compare the inputs: what the survey saw is of the day of the adoption."""
        return await super().diff(context, old_inputs, outputs, new_inputs)

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Reach the same machine in another way. What it was before the adoption stays what was seen then."""
        survey = await asyncio.to_thread(survey_machine, inputs)
        variables = dict(outputs["variables"])
        # A role that was added may need packages that the first look did not ask for.
        missing = surveys.role_variables(survey)["base_packages"]
        variables["base_packages"] = sorted({*variables["base_packages"], *missing})
        return {
            **inputs,
            "host": describe(inputs, survey).as_properties(),
            "variables": variables,
            "before": outputs["before"],
        }

    async def delete(self, context: Context, identifier: str, outputs: Values) -> None:
        """Let the machine go: nothing of ours stays on it, and what was there before runs again."""
        target = _target(outputs)
        context.report.status(f"{target.name}: is let go")
        try:
            await asyncio.to_thread(_release, target, outputs["before"])
        except ImpostorError as error:
            # The machine that was adopted is not there any more; this one was never ours to change.
            context.report.warning(f"{error}; nothing was released")


def _target(values: Mapping[str, Any]) -> Target:
    return Target.of(values)


def survey_machine(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a machine what it is; raises `ResourceError` if roles could not converge on it."""
    target = _target(inputs)
    with connect(target) as connection:
        reasons = connection.run_script("check_host.py", convergence.NEEDS)
        if reasons:
            raise ResourceError(f"{target.name}: {'; '.join(reasons)}")
        question = surveys.question(inputs["role"], balanced=inputs["balanced"])
        survey: dict[str, Any] = connection.run_script("survey_host.py", question)
    return survey


def _greet(target: Target) -> None:
    with connect(target):
        pass


def _refuse(inputs: Mapping[str, Any], reasons: list[str]) -> None:
    if reasons:
        raise ResourceError(f"{inputs['name']} ({inputs['address']}): {'; '.join(reasons)}")


def describe(inputs: Mapping[str, Any], survey: Mapping[str, Any]) -> Host:
    """The machine as all kinds of host are told of."""
    return Host(
        name=inputs["name"],
        address=inputs["address"],
        port=inputs["port"],
        user=inputs["user"],
        host_key=inputs["host_key"],
        private_key_path=inputs["private_key_path"],
        architecture=survey["architecture"],
        enforces=surveys.enforcement(survey),
    )


def _release(target: Target, before: Mapping[str, Any]) -> None:
    with connect(target) as connection:
        # Convergences release their roles; one that was killed in its first run is in no state, and is found here.
        connection.run_script("release_roles.py", {"roles": None}, timeout=_RELEASE_SECONDS)
        argument = {"before": before, "accounts": list(surveys.ACCOUNTS)}
        connection.run_script("release_host.py", argument, timeout=_RELEASE_SECONDS)
