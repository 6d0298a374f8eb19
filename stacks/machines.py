"""The machines of a stack: made, or there before it; where the virtual ones run; and the address they share."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from .values import SettingsError, Values, address

HostKind = Literal["machineContainer", "bareMetal", "libvirtVm"]
MachineRole = Literal["controlPlane", "node"]

_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_KEY: Final = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-\d+|ssh-rsa) [A-Za-z0-9+/]+=*")

_FIRST_CONTROL_PLANE: Final = 11
_FIRST_NODE: Final = 31
_VIRTUAL_ADDRESS: Final = 10
MAX_CONTROL_PLANE: Final = 7
MAX_NODES: Final = 200

_PRIVATE_KEY_FILE: Final = "~/.ssh/id_ed25519"
_URI: Final = re.compile(r"qemu\+ssh://([a-z_][a-z0-9_-]*@)?[0-9A-Za-z.-]+(:\d{1,5})?/system")
_BRIDGE: Final = re.compile(r"[A-Za-z0-9_.-]{0,15}")
HYPERVISOR_KEYS: Final = (
    "hypervisor",
    "hypervisorHostKey",
    "hypervisorPrivateKeyFile",
    "vmBridge",
    "vmCpus",
    "vmDisk",
    "vmMemory",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster; `host_key` and `private_key_file` only where it exists before the stack does.

    The file may begin with `~/`, and is else found from the clone's root.
    """

    name: str
    role: MachineRole
    address: str
    port: int = 22
    user: str = "root"
    host_key: str = ""
    private_key_file: str = ""


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """Where the virtual machines of a stack run, and what each of them gets; `memory` and `disk` in MiB.

    `bridge` is one that the hypervisor has in the hosts' network; empty where the machines get a network of their own.
    """

    uri: str
    host_key: str
    private_key_file: str
    bridge: str
    cpus: int
    memory: int
    disk: int


def made(values: Values, stack: str, network: ipaddress.IPv4Network) -> tuple[Machine, ...]:
    """The machines that the stack makes, named and addressed by number. Raises SettingsError."""
    control_plane = values.number("controlPlane", 1, low=1, high=MAX_CONTROL_PLANE)
    nodes = values.number("nodes", 1, low=0, high=MAX_NODES)
    if network.num_addresses <= _FIRST_NODE + nodes:
        raise SettingsError("hostNetwork", f"{network} has no room for {nodes} nodes; a /24 has")
    machines = [
        Machine(f"{stack}-cp-{index + 1}", "controlPlane", str(network[_FIRST_CONTROL_PLANE + index]))
        for index in range(control_plane)
    ]
    machines += [
        Machine(f"{stack}-node-{index + 1}", "node", str(network[_FIRST_NODE + index])) for index in range(nodes)
    ]
    return tuple(machines)


def hypervisor(values: Values) -> Hypervisor:
    """Where virtual machines run. Raises SettingsError."""
    uri = values.text("hypervisor", "")
    if not _URI.fullmatch(uri):
        raise SettingsError("hypervisor", f"must be of the form qemu+ssh://user@host/system; got {uri!r}")
    host_key = values.text("hypervisorHostKey", "").strip()
    # The libvirt plugin asks for this type first, and takes no other once it is offered.
    if not _HOST_KEY.fullmatch(host_key) or not host_key.startswith("ssh-ed25519 "):
        raise SettingsError("hypervisorHostKey", "must be what `ssh-keyscan -t ed25519` prints, without the name")
    bridge = values.text("vmBridge", "")
    if not _BRIDGE.fullmatch(bridge):
        raise SettingsError("vmBridge", f"{bridge!r} is not the name of a network interface")
    return Hypervisor(
        uri=uri,
        host_key=host_key,
        private_key_file=values.text("hypervisorPrivateKeyFile", _PRIVATE_KEY_FILE),
        bridge=bridge,
        cpus=values.number("vmCpus", 2, low=1, high=256),
        memory=values.number("vmMemory", 4096, low=1024, high=1 << 22),
        disk=values.number("vmDisk", 20480, low=4096, high=1 << 26),
    )


_MACHINE_FIELDS: Final[dict[str, tuple[type, bool]]] = {
    "name": (str, False),
    "role": (str, True),
    "address": (str, True),
    "port": (int, False),
    "user": (str, False),
    "hostKey": (str, True),
    "privateKeyFile": (str, False),
}


def adopted(values: Values, stack: str) -> tuple[Machine, ...]:
    """The machines that are there before the stack, control-plane hosts first. Raises SettingsError."""
    machines: list[Machine] = []
    counts = {"controlPlane": 0, "node": 0}
    for index, item in enumerate(values.objects("machines")):
        key = f"machines[{index}]"
        for field in sorted(item.keys() - _MACHINE_FIELDS.keys()):
            raise SettingsError(f"{key}.{field}", f"unknown key; the keys are {', '.join(_MACHINE_FIELDS)}")
        for field, (kind, required) in _MACHINE_FIELDS.items():
            if field not in item:
                if required:
                    raise SettingsError(f"{key}.{field}", "missing")
            elif not isinstance(item[field], kind) or isinstance(item[field], bool):
                raise SettingsError(f"{key}.{field}", f"must be of type {kind.__name__}; got {item[field]!r}")
        role = item["role"]
        if role not in counts:
            raise SettingsError(f"{key}.role", f"must be one of {', '.join(counts)}; got {role!r}")
        counts[role] += 1
        prefix = "cp" if role == "controlPlane" else "node"
        name = item.get("name", f"{stack}-{prefix}-{counts[role]}")
        if not _HOST_NAME.fullmatch(name):
            raise SettingsError(f"{key}.name", f"{name!r} is not a host name (RFC 1123, lower case)")
        if not 1 <= item.get("port", 22) <= 65535:
            raise SettingsError(f"{key}.port", f"must be from 1 to 65535; got {item['port']}")
        if not _HOST_KEY.fullmatch(item["hostKey"].strip()):
            raise SettingsError(
                f"{key}.hostKey", "must be the host's public key as `ssh-keyscan` prints it, without the host's name"
            )
        machines.append(
            Machine(
                name=name,
                role=cast("MachineRole", role),
                address=str(address(f"{key}.address", item["address"])),
                port=item.get("port", 22),
                user=item.get("user", "root"),
                host_key=item["hostKey"].strip(),
                private_key_file=item.get("privateKeyFile", _PRIVATE_KEY_FILE),
            )
        )
    return tuple(sorted(machines, key=lambda machine: machine.role))


def check_quorum(members: int, key: str) -> None:
    """Refuse a number of etcd members that adds no safety. Raises SettingsError."""
    if members % 2 == 0:
        raise SettingsError(
            key,
            f"{members} control-plane hosts are {members} etcd members, and an even number adds no safety: use 1, 3, 5",
        )


def virtual_address(values: Values, host_kind: HostKind, network: ipaddress.IPv4Network, members: int) -> str | None:
    """The address that several control-plane hosts share; None for one. Raises SettingsError."""
    raw = values.text("virtualAddress", "")
    if members == 1:
        if raw:
            raise SettingsError("virtualAddress", "needs more than one control-plane host; leave it out")
        return None
    if not raw:
        if host_kind == "bareMetal":
            raise SettingsError("virtualAddress", "missing: a free address in the network of the control-plane hosts")
        return str(network[_VIRTUAL_ADDRESS])
    chosen = address("virtualAddress", raw)
    if chosen.is_unspecified or chosen.is_multicast or chosen.is_loopback:
        raise SettingsError("virtualAddress", f"{chosen} is not a host's address")
    if host_kind != "bareMetal":
        if chosen not in network:
            raise SettingsError("virtualAddress", f"{chosen} is not in the hosts' network {network}")
        if chosen in (network.network_address, network.broadcast_address, network[1]):
            raise SettingsError("virtualAddress", f"{chosen} is the network's own; choose a host's address")
    return str(chosen)


def check_addresses(
    machines: Iterable[Machine], virtual: str | None, cluster: Mapping[str, ipaddress.IPv4Network]
) -> None:
    """Refuse names and addresses that two machines have, or that lie in a network of the cluster's, named by its key.

    Raises SettingsError.
    """
    names: set[str] = set()
    owners: dict[str, str] = {}
    for machine in machines:
        if machine.name in names:
            raise SettingsError("machines", f"the name {machine.name} is given to two machines")
        names.add(machine.name)
        if machine.address in owners:
            raise SettingsError(
                "machines", f"{machine.name} and {owners[machine.address]} have the same address {machine.address}"
            )
        owners[machine.address] = machine.name
        for key, network in cluster.items():
            if ipaddress.IPv4Address(machine.address) in network:
                raise SettingsError(key, f"{network} holds the address {machine.address} of {machine.name}")
    if virtual is not None:
        if virtual in owners:
            raise SettingsError("virtualAddress", f"{virtual} is the address of {owners[virtual]}")
        for key, network in cluster.items():
            if ipaddress.IPv4Address(virtual) in network:
                raise SettingsError("virtualAddress", f"{virtual} lies in {key} {network}")
