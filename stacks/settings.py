"""A stack's configuration, typed, and checked as a whole before anything is touched.

Pulumi hands over strings; what they may be is said here alone. Everything is pure: the program gives the raw values and
the lab's identity, and gets either `Settings` or one `SettingsError` that names the key and the remedy. Networks that
nobody chose are derived from the clone and the stack, so that two stacks of one clone never share one, and two clones
on one machine hardly ever do (a taken network is then found before a host is made, and a choice of one's own wins).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

HostKind = Literal["machineContainer", "bareMetal", "libvirtVm"]
MachineRole = Literal["controlPlane", "node"]
Purpose = Literal["cluster", "hosts"]

_STACK_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,19}")
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_HOST_KEY: Final = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-\d+|ssh-rsa) [A-Za-z0-9+/]+=*")

# The environments that every clone has get a slot of their own; other stacks hash into the rest. A slot is part of each
# derived network, which is what keeps the stacks of one clone apart.
_SLOTS: Final = {"dev": 0, "ha": 1, "vm": 2, "metal": 3, "test": 4, "bench": 5}
_SLOT_COUNT: Final = 16

_FIRST_CONTROL_PLANE: Final = 11
_FIRST_NODE: Final = 31
_VIRTUAL_ADDRESS: Final = 10
MAX_CONTROL_PLANE: Final = 7
MAX_NODES: Final = 200
NODE_POD_PREFIX: Final = 24
"""The prefix length of each node's share of the pod network (kube-controller-manager's --node-cidr-mask-size)."""


class SettingsError(Exception):
    """A configuration that cannot be: one sentence that names the key and what to do."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"keelson:{key}: {reason}")
        self.key = key
        self.reason = reason


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


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid stack. The three networks are disjoint, and each machine's name and address is its own."""

    stack: str
    purpose: Purpose
    """Whether the hosts become a cluster, or are only made ready for one."""
    host_kind: HostKind
    hypervisor: Hypervisor | None
    """Present exactly with the kind libvirtVm."""
    machines: tuple[Machine, ...]
    host_network: str
    pod_network: str
    service_network: str
    virtual_address: str | None
    """The address haproxy and keepalived hold; None where the one control-plane host is its own endpoint."""
    cluster_domain: str
    certificate_days: int
    kubernetes_version: str = "v1.36.0"

    @property
    def control_plane(self) -> tuple[Machine, ...]:
        """The control-plane machines, each of which is also a member of etcd."""
        return tuple(machine for machine in self.machines if machine.role == "controlPlane")

    @property
    def nodes(self) -> tuple[Machine, ...]:
        """The machines that only run workloads."""
        return tuple(machine for machine in self.machines if machine.role == "node")

    @property
    def host_prefix(self) -> int:
        """The prefix length of the hosts' network."""
        return ipaddress.ip_network(self.host_network).prefixlen

    @property
    def host_gateway(self) -> str:
        """The gateway of the hosts' network: its first address."""
        return str(ipaddress.ip_network(self.host_network)[1])

    @property
    def endpoint_address(self) -> str:
        """Where clients reach the API: the virtual address, or that of the only control-plane host."""
        return self.virtual_address or self.control_plane[0].address

    @property
    def kubernetes_service_address(self) -> str:
        """The ClusterIP of the Service `kubernetes`: the first of the service network, as upstream assigns it."""
        return str(ipaddress.ip_network(self.service_network)[1])

    @property
    def dns_address(self) -> str:
        """The ClusterIP of the cluster's DNS: the tenth of the service network, as kubeadm assigns it."""
        return str(ipaddress.ip_network(self.service_network)[10])


def lab_id(clone: str) -> str:
    """The identity of a clone's labs: six hex digits of the SHA-256 of its absolute path."""
    return hashlib.sha256(clone.encode()).hexdigest()[:6]


def parse(*, stack: str, clone_id: str, config: Mapping[str, str]) -> Settings:
    """Turn a stack's raw configuration (keys without the `keelson:` prefix) into `Settings`.

    Raises `SettingsError` for the first thing that cannot be.
    """
    if not _STACK_NAME.fullmatch(stack):
        raise SettingsError("stack", f"the stack's name {stack!r} becomes host names: a-z, 0-9 and -, at most 20")
    for key in sorted(config):
        if key not in _KEYS:
            raise SettingsError(key, f"unknown key; the keys are {', '.join(sorted(_KEYS))}")
    values = _Values(config)
    host_kind = cast("HostKind", values.choice("hostKind", ("machineContainer", "bareMetal", "libvirtVm")))
    derived = derive_networks(clone_id, stack)
    host_network = values.network("hostNetwork", derived["hostNetwork"])
    hypervisor = _hypervisor(values) if host_kind == "libvirtVm" else None
    if hypervisor is None:
        for key in _HYPERVISOR_KEYS:
            if key in config:
                raise SettingsError(key, "only with hostKind libvirtVm")
    pod_network = values.network("podNetwork", derived["podNetwork"])
    service_network = values.network("serviceNetwork", derived["serviceNetwork"])
    if host_kind == "bareMetal":
        for key in ("controlPlane", "nodes", "hostNetwork"):
            if key in config:
                raise SettingsError(key, "not with hostKind bareMetal, whose machines come from keelson:machines")
        machines = _adopted_machines(values, stack)
    else:
        if "machines" in config:
            raise SettingsError("machines", "only with hostKind bareMetal; give controlPlane and nodes as numbers")
        machines = _made_machines(values, stack, host_network)
    control_plane = [machine for machine in machines if machine.role == "controlPlane"]
    _check_quorum(len(control_plane), "machines" if host_kind == "bareMetal" else "controlPlane")
    virtual = _virtual_address(values, host_kind, host_network, len(control_plane))
    _check_networks(host_kind, host_network, pod_network, service_network)
    _check_addresses(machines, virtual, pod_network, service_network)
    _check_pod_room(pod_network, len(machines))
    domain = values.text("clusterDomain", "cluster.local")
    if not _DOMAIN.fullmatch(domain):
        raise SettingsError("clusterDomain", f"{domain!r} is not a DNS name (RFC 1123, lower case)")
    return Settings(
        stack=stack,
        purpose=cast("Purpose", values.choice("purpose", ("cluster", "hosts"))),
        host_kind=host_kind,
        hypervisor=hypervisor,
        machines=machines,
        host_network=str(host_network),
        pod_network=str(pod_network),
        service_network=str(service_network),
        virtual_address=virtual,
        cluster_domain=domain,
        certificate_days=values.number("certificateDays", 365, low=2, high=3650),
    )


def derive_networks(clone_id: str, stack: str) -> dict[str, str]:
    """The networks of a stack that chose none.

    Hosts get a /24 of 10.64.0.0/10, pods a /18 of 10.128.0.0/9, services a /20 of 172.16.0.0/12. Four bits of each are
    the stack's slot in its clone, the others come from the clone's identity.
    """
    seed = int(hashlib.sha256(clone_id.encode()).hexdigest(), 16)
    slot = _SLOTS.get(stack)
    if slot is None:
        spare = _SLOT_COUNT - len(_SLOTS)
        slot = len(_SLOTS) + int(hashlib.sha256(stack.encode()).hexdigest(), 16) % spare
    return {
        "hostNetwork": _subnet("10.64.0.0/10", 24, seed, slot),
        "podNetwork": _subnet("10.128.0.0/9", 18, seed, slot),
        "serviceNetwork": _subnet("172.16.0.0/12", 20, seed, slot),
    }


def _subnet(parent: str, prefix: int, seed: int, slot: int) -> str:
    network = ipaddress.IPv4Network(parent)
    count = 1 << (prefix - network.prefixlen)
    index = (seed % (count // _SLOT_COUNT)) * _SLOT_COUNT + slot
    return str(ipaddress.IPv4Network((int(network.network_address) + (index << (32 - prefix)), prefix)))


class _Values:
    """The raw values, read by type; every complaint names its key."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config

    def text(self, key: str, default: str) -> str:
        return self._config.get(key, default)

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        value = self._config.get(key, options[0])
        if value not in options:
            raise SettingsError(key, f"must be one of {', '.join(options)}; got {value!r}")
        return value

    def number(self, key: str, default: int, *, low: int, high: int) -> int:
        raw = self._config.get(key)
        if raw is None:
            return default
        if not re.fullmatch(r"-?\d{1,9}", raw) or not low <= int(raw) <= high:
            raise SettingsError(key, f"must be a whole number from {low} to {high}; got {raw!r}")
        return int(raw)

    def network(self, key: str, default: str) -> ipaddress.IPv4Network:
        raw = self._config.get(key, default)
        try:
            return ipaddress.IPv4Network(raw)
        except ValueError as error:
            raise SettingsError(key, f"{raw!r} is not an IPv4 network such as 10.64.1.0/24: {error}") from None

    def objects(self, key: str) -> list[dict[str, Any]]:
        raw = self._config.get(key)
        if raw is None:
            raise SettingsError(key, "missing: list the machines, each with name, role, address, hostKey")
        try:
            value = json.loads(raw)
        except json.JSONDecodeError as error:
            raise SettingsError(key, f"is not JSON: {error}") from None
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise SettingsError(key, "must be a list of objects, at least one")
        return value


_HYPERVISOR_KEYS: Final = (
    "hypervisor",
    "hypervisorHostKey",
    "hypervisorPrivateKeyFile",
    "vmBridge",
    "vmCpus",
    "vmDisk",
    "vmMemory",
)

_KEYS: Final = frozenset(
    {
        *_HYPERVISOR_KEYS,
        "purpose",
        "hostKind",
        "controlPlane",
        "nodes",
        "machines",
        "hostNetwork",
        "podNetwork",
        "serviceNetwork",
        "virtualAddress",
        "clusterDomain",
        "certificateDays",
    }
)


def _made_machines(values: _Values, stack: str, network: ipaddress.IPv4Network) -> tuple[Machine, ...]:
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


_PRIVATE_KEY_FILE: Final = "~/.ssh/id_ed25519"

_URI: Final = re.compile(r"qemu\+ssh://([a-z_][a-z0-9_-]*@)?[0-9A-Za-z.-]+(:\d{1,5})?/system")
_BRIDGE: Final = re.compile(r"[A-Za-z0-9_.-]{0,15}")


def _hypervisor(values: _Values) -> Hypervisor:
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


def _adopted_machines(values: _Values, stack: str) -> tuple[Machine, ...]:
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
                address=str(_address(f"{key}.address", item["address"])),
                port=item.get("port", 22),
                user=item.get("user", "root"),
                host_key=item["hostKey"].strip(),
                private_key_file=item.get("privateKeyFile", _PRIVATE_KEY_FILE),
            )
        )
    return tuple(sorted(machines, key=lambda machine: machine.role))


def _address(key: str, raw: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(raw)
    except ValueError:
        raise SettingsError(key, f"{raw!r} is not an IPv4 address") from None


def _check_quorum(members: int, key: str) -> None:
    if members % 2 == 0:
        raise SettingsError(
            key,
            f"{members} control-plane hosts are {members} etcd members, and an even number adds no safety: use 1, 3, 5",
        )


def _virtual_address(values: _Values, host_kind: HostKind, network: ipaddress.IPv4Network, members: int) -> str | None:
    raw = values.text("virtualAddress", "")
    if members == 1:
        if raw:
            raise SettingsError("virtualAddress", "needs more than one control-plane host; leave it out")
        return None
    if not raw:
        if host_kind == "bareMetal":
            raise SettingsError("virtualAddress", "missing: a free address in the network of the control-plane hosts")
        return str(network[_VIRTUAL_ADDRESS])
    address = _address("virtualAddress", raw)
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise SettingsError("virtualAddress", f"{address} is not a host's address")
    if host_kind != "bareMetal":
        if address not in network:
            raise SettingsError("virtualAddress", f"{address} is not in the hosts' network {network}")
        if address in (network.network_address, network.broadcast_address, network[1]):
            raise SettingsError("virtualAddress", f"{address} is the network's own; choose a host's address")
    return str(address)


def _check_networks(
    host_kind: HostKind, hosts: ipaddress.IPv4Network, pods: ipaddress.IPv4Network, services: ipaddress.IPv4Network
) -> None:
    named = [("podNetwork", pods), ("serviceNetwork", services)]
    if host_kind != "bareMetal":
        named.insert(0, ("hostNetwork", hosts))
    for index, (key, network) in enumerate(named):
        for other_key, other in named[:index]:
            if network.overlaps(other):
                raise SettingsError(key, f"{network} overlaps {other_key} {other}; choose disjoint networks")
    if services.prefixlen > 28:
        raise SettingsError("serviceNetwork", f"{services} is too small; at least a /28 (DNS takes its tenth address)")


def _check_addresses(
    machines: Iterable[Machine],
    virtual: str | None,
    pods: ipaddress.IPv4Network,
    services: ipaddress.IPv4Network,
) -> None:
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
        for key, network in (("podNetwork", pods), ("serviceNetwork", services)):
            if ipaddress.IPv4Address(machine.address) in network:
                raise SettingsError(key, f"{network} holds the address {machine.address} of {machine.name}")
    if virtual is not None:
        if virtual in owners:
            raise SettingsError("virtualAddress", f"{virtual} is the address of {owners[virtual]}")
        for key, network in (("podNetwork", pods), ("serviceNetwork", services)):
            if ipaddress.IPv4Address(virtual) in network:
                raise SettingsError("virtualAddress", f"{virtual} lies in {key} {network}")


def _check_pod_room(pods: ipaddress.IPv4Network, machines: int) -> None:
    if pods.prefixlen > NODE_POD_PREFIX or (1 << (NODE_POD_PREFIX - pods.prefixlen)) < machines:
        raise SettingsError(
            "podNetwork", f"{pods} has no /{NODE_POD_PREFIX} for each of {machines} hosts; choose a larger one"
        )


def of_project(values: Mapping[str, str], *, namespace: str, stack: str, clone_id: str) -> Settings:
    """Pick this project's keys out of Pulumi's whole configuration and parse them."""
    prefix = f"{namespace}:"
    own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    return parse(stack=stack, clone_id=clone_id, config=own)
