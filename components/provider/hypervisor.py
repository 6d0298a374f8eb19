"""The operator's hypervisor, as a resource: looked at before anything is made on it, its SSH host key pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from components.hosts import files, libvirt_vm
from components.hosts.labs import Lab
from components.provider.connections import Target, connect
from components.provider.kinds import Context, Created, Found, Kind, ResourceError, Values

_FREE_MEBIBYTES: Final = 4096


class Hypervisor(Kind):
    """Inputs: `clone`, `stack`, `uri` (qemu+ssh), `host_key`, `private_key_path`, `bridge` (empty for none).

    Outputs: `connection_uri` for the libvirt plugin, and `domain_type`: kvm, or qemu where it must emulate.
    """

    type_name: ClassVar[str] = "keelson:index:Hypervisor"
    updatable: ClassVar[frozenset[str]] = frozenset({"uri", "host_key", "private_key_path", "bridge"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("connection_uri", "domain_type")

    async def create(self, context: Context, inputs: Values) -> Created:
        """See that libvirt is there, and what it can do."""
        return Created(context.name, await asyncio.to_thread(_look, inputs))

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """Pin the key again, which a clone that was moved has lost; the hypervisor itself is its owner's."""
        await asyncio.to_thread(_pin, outputs)
        return Found(inputs, outputs)

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Look again. What runs on it already keeps its type."""
        return {**await asyncio.to_thread(_look, inputs), "domain_type": outputs["domain_type"]}


def _look(inputs: Mapping[str, Any]) -> Values:
    target = _target(inputs)
    with connect(target) as connection:
        survey = connection.run_script("survey_hypervisor.py", {"bridge": inputs["bridge"]})
    reasons = []
    if not survey["libvirt"]:
        reasons.append("libvirt does not listen there: apt-get install libvirt-daemon-system qemu-system")
    if not survey["bridge"]:
        reasons.append(f"it has no bridge {inputs['bridge']}")
    if survey["free_mebibytes"] < _FREE_MEBIBYTES:
        reasons.append(
            f"/var/lib/libvirt has {survey['free_mebibytes']} MiB free, and {_FREE_MEBIBYTES} MiB are needed"
        )
    if reasons:
        raise ResourceError(f"{target.name}: {'; '.join(reasons)}")
    known_hosts = _pin(inputs)
    uri = libvirt_vm.connection_uri(
        libvirt_vm.parse_uri(inputs["uri"]),
        private_key_path=inputs["private_key_path"],
        known_hosts_path=str(known_hosts),
    )
    return {**inputs, "connection_uri": uri, "domain_type": "kvm" if survey["kvm"] else "qemu"}


def _pin(values: Mapping[str, Any]) -> Path:
    lab = Lab(clone=Path(values["clone"]), stack=values["stack"])
    lab.make_directory()
    path = lab.directory / "hypervisor_known_hosts"
    files.write(path, _target(values).known_hosts_line)
    return path


def _target(values: Mapping[str, Any]) -> Target:
    hypervisor = libvirt_vm.parse_uri(values["uri"])
    return Target(
        name=f"hypervisor {hypervisor.host}",
        address=hypervisor.host,
        port=hypervisor.port,
        user=hypervisor.user,
        host_key=values["host_key"],
        private_key_path=values["private_key_path"],
    )
