"""A stack's configuration, typed, and checked as a whole before anything is touched.

Pulumi hands over strings; what they may be is said here and in the modules beside. Everything is pure: the program
gives the raw values and the lab's identity, and gets either `Settings` or one `SettingsError` that names the key and
the remedy.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from . import machines, networks
from .machines import HostKind, Hypervisor, Machine
from .values import SettingsError, Values

Purpose = Literal["cluster", "hosts"]

_STACK_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,19}")
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


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
    values = Values(config)
    host_kind = cast("HostKind", values.choice("hostKind", ("machineContainer", "bareMetal", "libvirtVm")))
    derived = networks.derive(clone_id, stack)
    host_network = values.network("hostNetwork", derived["hostNetwork"])
    hypervisor = machines.hypervisor(values) if host_kind == "libvirtVm" else None
    if hypervisor is None:
        for key in machines.HYPERVISOR_KEYS:
            if key in config:
                raise SettingsError(key, "only with hostKind libvirtVm")
    cluster = {
        "podNetwork": values.network("podNetwork", derived["podNetwork"]),
        "serviceNetwork": values.network("serviceNetwork", derived["serviceNetwork"]),
    }
    if host_kind == "bareMetal":
        for key in ("controlPlane", "nodes", "hostNetwork"):
            if key in config:
                raise SettingsError(key, "not with hostKind bareMetal, whose machines come from keelson:machines")
        chosen = machines.adopted(values, stack)
    else:
        if "machines" in config:
            raise SettingsError("machines", "only with hostKind bareMetal; give controlPlane and nodes as numbers")
        chosen = machines.made(values, stack, host_network)
    members = len([machine for machine in chosen if machine.role == "controlPlane"])
    machines.check_quorum(members, "machines" if host_kind == "bareMetal" else "controlPlane")
    virtual = machines.virtual_address(values, host_kind, host_network, members)
    networks.check(cluster if host_kind == "bareMetal" else {"hostNetwork": host_network, **cluster})
    machines.check_addresses(chosen, virtual, cluster)
    networks.check_pod_room(cluster["podNetwork"], len(chosen))
    domain = values.text("clusterDomain", "cluster.local")
    if not _DOMAIN.fullmatch(domain):
        raise SettingsError("clusterDomain", f"{domain!r} is not a DNS name (RFC 1123, lower case)")
    return Settings(
        stack=stack,
        purpose=cast("Purpose", values.choice("purpose", ("cluster", "hosts"))),
        host_kind=host_kind,
        hypervisor=hypervisor,
        machines=chosen,
        host_network=str(host_network),
        pod_network=str(cluster["podNetwork"]),
        service_network=str(cluster["serviceNetwork"]),
        virtual_address=virtual,
        cluster_domain=domain,
        certificate_days=values.number("certificateDays", 365, low=2, high=3650),
    )


_KEYS: Final = frozenset(
    {
        *machines.HYPERVISOR_KEYS,
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


def of_project(values: Mapping[str, str], *, namespace: str, stack: str, clone_id: str) -> Settings:
    """Pick this project's keys out of Pulumi's whole configuration and parse them."""
    prefix = f"{namespace}:"
    own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    return parse(stack=stack, clone_id=clone_id, config=own)
