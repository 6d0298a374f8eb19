"""The convergence of one host: which roles it has, with what variables; brought about by Ansible, read back by digest.

Inputs are data: `host` (as a kind of host gives it), `roles` in order, `variables`. A check renders the roles' files on
the operator's machine and adds what they must be on the host, `placed`: per role the digest of what acts, each file's
fingerprint and each unit's state. The output `placed` is what is there. So a diff is the comparison of the two: it
names files and units in a preview, and a refresh that read a changed file or a stopped unit shows it in the same words.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from components.provider import playbooks, renderings, role_sources
from components.provider.connections import Connection, ImpostorError, Target, UnreachableError, connect
from components.provider.kinds import Change, Context, Created, Failure, Found, Kind, ResourceError, Values
from components.provider.property_values import UNKNOWN, Properties, contains_unknown, differences
from components.provider.renderings import Desired

Placed = dict[str, Any]

# Roles that run no daemon which others rely on: changing them on all hosts at once stops nothing.
_WITHOUT_MEMBERS: Final = frozenset({"base"})

_RELEASE: Final = "base_bundle_version"
"""The variable that says which release is current on a host; other roles' units run from it."""

NEEDS: Final[dict[str, Any]] = {
    "free_mebibytes": {"/opt": 512, "/var/lib": 512, "/etc": 8},
    "python": [3, 11],
    "filesystems": ["overlay", "tmpfs", "cgroup2"],
}
"""What `remote/check_host.py` must find on a host before anything is placed on it."""


class Convergence(Kind):
    """See the module."""

    type_name: ClassVar[str] = "keelson:index:Convergence"
    computed_outputs: ClassVar[tuple[str, ...]] = ()

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """Render what the roles want, so that it is known before anything is touched."""
        values = inputs.values
        roles, variables = values.get("roles") or [], values.get("variables")
        if roles is UNKNOWN or variables is UNKNOWN:
            return {**values, "placed": UNKNOWN}, []
        try:
            release = (variables or {}).get(_RELEASE)
            placed = {
                name: _wanted(role_sources.load(name), _of_role(name, variables or {}, roles), release)
                for name in roles
            }
        except (renderings.RenderError, FileNotFoundError) as error:
            return values, [Failure("variables", str(error))]
        return {**values, "placed": placed}, []

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Compare what is on the host with what must be, and tell the operator in words."""
        old_host, new_host = old_inputs["host"], new_inputs.get("host")
        if isinstance(new_host, Mapping) and old_host["name"] != new_host.get("name"):
            return [Change(("host", "name"), "update", replace=True)]
        changes = [
            Change(("placed", *path), kind, against_inputs=False)
            for path, kind in differences(outputs.get("placed") or {}, new_inputs.get("placed"))
        ]
        changes += [
            Change(("host", *path), kind)
            for path, kind in differences(old_host, new_host)
            if path[:1] in (("address",), ("port",), ("host_key",))
        ]
        placed = new_inputs.get("placed")
        if changes and isinstance(placed, Mapping):
            context.report.info(_sentence(old_host["name"], outputs.get("placed") or {}, placed))
        return changes

    async def create(self, context: Context, inputs: Values) -> Created:
        """Check the host, run all roles, wait for their health."""
        target = Target.of(inputs["host"])
        there = await asyncio.to_thread(_survey, target, inputs["placed"])
        if there:
            # An earlier run got some way: what it made runs already, so it is changed with care.
            await self._change(context, target, inputs, _outdated(inputs, there, {}))
        else:
            await self._run(context, target, inputs, inputs["roles"])
            for role in inputs["roles"]:
                await self._await_health(context, target, inputs, role)
        return Created(target.name, await self._outputs(target, inputs, generation=1))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See what is on the host. A host of our own that is off has nothing on it; anyone else's must answer."""
        if not inputs:
            raise ResourceError(f"{identifier}: a convergence cannot be imported; it is created anew, which is safe")
        target = Target.of(inputs["host"])
        try:
            there = await asyncio.to_thread(_inspect, target, inputs["placed"])
        except UnreachableError:
            if not inputs.get("owned", True):
                raise
            context.report.warning(f"{target.name}: does not answer; what is on it is not known")
            there = {}
        return Found(inputs, {**outputs, "placed": _observed(there, outputs.get("placed") or {})})

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Run the roles that differ, one at a time, never two members of a role at once."""
        target = Target.of(inputs["host"])
        there = await asyncio.to_thread(_survey, target, inputs["placed"])
        dropped = [role for role in outputs.get("placed") or {} if role not in inputs["placed"]]
        if dropped:
            await asyncio.to_thread(_release, target, {name: (outputs["placed"][name]) for name in dropped})
        await self._change(context, target, inputs, _outdated(inputs, there, outputs.get("placed") or {}))
        return await self._outputs(target, inputs, generation=_generation(outputs) + 1)

    async def delete(self, context: Context, identifier: str, outputs: Values) -> None:
        """Let the host go: stop what the roles started and remove what they placed."""
        host = outputs.get("host")
        if host is None:
            return
        try:
            await asyncio.to_thread(_release, Target.of(host), outputs.get("placed") or {})
        except ImpostorError as error:
            # The machine that was converged is not there any more; this one was never ours to change.
            context.report.warning(f"{error}; nothing was released")

    def previewed(self, inputs: Values, outputs: Values | None) -> Values:
        """An update leads where its inputs say."""
        return _recorded(inputs, inputs.get("placed"), generation=_generation(outputs or {}) + 1)

    async def _change(self, context: Context, target: Target, inputs: Values, roles: Iterable[str]) -> None:
        for role in roles:
            if role in _WITHOUT_MEMBERS:
                await self._run_one(context, target, inputs, role)
                continue
            lock = context.shared.lock(role)
            if lock.locked():
                context.report.status(f"{target.name}: {role}: waits for another member to be healthy")
            async with lock:
                await self._run_one(context, target, inputs, role)

    async def _run_one(self, context: Context, target: Target, inputs: Values, role: str) -> None:
        await self._run(context, target, inputs, [role])
        await self._await_health(context, target, inputs, role)

    async def _run(self, context: Context, target: Target, inputs: Values, roles: Sequence[str]) -> None:
        changed = await asyncio.to_thread(
            playbooks.run,
            target,
            roles,
            inputs["variables"],
            report=context.report.status,
            cancelled=context.shared.cancelled.is_set,
        )
        if context.shared.cancelled.is_set():
            raise ResourceError(f"{target.name}: cancelled")
        context.report.status(f"{target.name}: {', '.join(roles)}: {changed} changed")

    async def _await_health(self, context: Context, target: Target, inputs: Values, name: str) -> None:
        desired = _desired(name, inputs)
        if desired.health is None:
            return
        context.report.status(f"{target.name}: {name}: waits for health")
        argument = {
            "command": desired.health.command,
            "timeout_seconds": desired.health.timeout_seconds,
            "units": list(desired.units),
        }
        answer = await asyncio.to_thread(_ask, target, argument, desired.health.timeout_seconds + 30)
        if not answer["healthy"]:
            logs = "".join(f"; {unit} logged: {line}" for unit, line in answer["logs"].items() if line)
            raise ResourceError(
                f"{target.name}: {name}: not healthy after {desired.health.timeout_seconds:g} s: "
                f"{answer['reason']}{logs}"
            )

    async def _outputs(self, target: Target, inputs: Values, *, generation: int) -> Values:
        there = await asyncio.to_thread(_inspect, target, inputs["placed"])
        return _recorded(inputs, _observed(there, inputs["placed"]), generation=generation)


def _recorded(inputs: Values, placed: Any, *, generation: int) -> Values:
    """What the state keeps besides the inputs: not the variables, which hold every secret of the host once already."""
    return {"host": inputs["host"], "roles": inputs["roles"], "placed": placed, "generation": generation}


def _generation(outputs: Values) -> int:
    """How many times the host was converged: what depends on that is done again when it grows."""
    return int(outputs.get("generation") or 0)


def _desired(name: str, inputs: Values) -> Desired:
    return renderings.desired(role_sources.load(name), _of_role(name, inputs["variables"], inputs["roles"]))


def _of_role(name: str, variables: Mapping[str, Any], roles: Sequence[str]) -> dict[str, Any]:
    """The variables that bear the role's name. `kube_proxy_…` is not `kube_…`'s: the longest role name wins."""

    def owner(variable: str) -> str | None:
        return max((role for role in roles if variable.startswith(f"{role}_")), key=len, default=None)

    return {variable: value for variable, value in variables.items() if owner(variable) == name}


def _wanted(role: role_sources.Role, variables: Mapping[str, Any], release: Any) -> Any:
    desired = renderings.desired(role, variables)
    # A host's cache path says nothing about what is in the file; the digest beside it does.
    telling = {name: value for name, value in variables.items() if not name.endswith("_archive")}
    if desired.uses_release:
        telling[_RELEASE] = release
    if contains_unknown(telling):
        digest: Any = UNKNOWN
    else:
        canonical = json.dumps(telling, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(f"{role.digest}\0{canonical}".encode()).hexdigest()[:16]
    return {"digest": digest, "files": desired.files, "units": desired.units}


def _observed(there: Mapping[str, Any], recorded: Mapping[str, Any]) -> Placed:
    """What an inspection saw, in the words of `placed`. The digest is what the last convergence recorded."""
    return {
        name: {
            "digest": recorded.get(name, {}).get("digest"),
            "files": {
                path: renderings.fingerprint(state["sha256"], state["mode"], state["owner"], state["group"])
                for path, state in role["files"].items()
                if state is not None
            },
            "units": {
                unit: renderings.unit_state(
                    enabled=state["enabled"] in ("enabled", "enabled-runtime", "static"),
                    started=state["active"] in ("active", "activating", "reloading"),
                )
                for unit, state in role["units"].items()
            },
        }
        for name, role in there.items()
        if name in recorded
    }


def _outdated(inputs: Values, there: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """The roles, in the order they converge, of which anything differs from what is wanted."""
    now = _observed(there, recorded)
    return [name for name in inputs["roles"] if now.get(name) != inputs["placed"][name]]


def _survey(target: Target, placed: Mapping[str, Any]) -> dict[str, Any]:
    """Check that roles can converge on the host, and see what is there already."""
    with connect(target) as connection:
        reasons = connection.run_script("check_host.py", NEEDS)
        if reasons:
            raise ResourceError(f"{target.name}: {'; '.join(reasons)}")
        return _inspect_over(connection, placed)


def _inspect(target: Target, placed: Mapping[str, Any]) -> dict[str, Any]:
    with connect(target) as connection:
        return _inspect_over(connection, placed)


def _inspect_over(connection: Connection, placed: Mapping[str, Any]) -> dict[str, Any]:
    units = {name: list(role["units"]) for name, role in placed.items()}
    roles: dict[str, Any] = connection.run_script("inspect_host.py", {"units": units})["roles"]
    return roles


def _ask(target: Target, argument: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    with connect(target) as connection:
        answer: dict[str, Any] = connection.run_script("await_health.py", argument, timeout=timeout)
        return answer


def _release(target: Target, placed: Mapping[str, Any]) -> None:
    roles = [{"name": name, "units": list(role["units"])} for name, role in placed.items()]
    with connect(target) as connection:
        connection.run_script("release_roles.py", {"roles": roles}, timeout=180)


def _sentence(host: str, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What an update will do to the host, by name: files to be written, units to be started or restarted."""
    files: list[str] = []
    units: set[str] = set()
    for name, placed in wanted.items():
        now = there.get(name) or {"files": {}, "units": {}}
        for path, wish in placed["files"].items():
            if now["files"].get(path) != wish:
                files.append(path)
        units |= {unit for unit, wish in placed["units"].items() if now["units"].get(unit) != wish}
        restarts = {entry["dest"]: entry["unit"] for entry in role_sources.load(name).files if "unit" in entry}
        units |= {restarts[path] for path in files if path in restarts}
    parts = []
    if files:
        parts.append(f"writes {', '.join(files)}")
    if units:
        parts.append(f"starts or restarts {', '.join(sorted(units))}")
    return f"{host}: {'; '.join(parts) or 'runs its roles again'}"
