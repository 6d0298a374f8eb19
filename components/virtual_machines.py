"""The hosts of a stack as virtual machines of a hypervisor, by libvirt: one disk and one seed each, and a shared image.

A machine keeps the image it was made from, as machine containers do: a newer one is for new machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_libvirt as libvirt

from components.hosts import libvirt_vm
from components.machines import Host, Wanted
from components.resources import BootedMachine, Hypervisor, OperatorKey, SshHostKey
from images.machine.disks import Disk

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class VirtualMachinesArgs:
    """The hypervisor, the machines wanted on it, and what each gets.

    `bridge` is one that the hypervisor has, in whose network the machines then are; without it they get a network of
    their own behind the hypervisor, which routes to it. `memory` and `disk` are in MiB.
    """

    clone: str
    stack: str
    lab: str
    hypervisor: str
    hypervisor_key: str
    private_key_path: str
    bridge: str
    network: str
    prefix: int
    gateway: str
    image: Disk
    cpus: int
    memory: int
    disk: int
    machines: Sequence[Wanted]
    balanced: bool


class VirtualMachines(pulumi.ComponentResource):
    """Hosts that a hypervisor runs."""

    hosts: tuple[Host, ...]

    def __init__(
        self, resource_name: str, args: VirtualMachinesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("keelson:components:VirtualMachines", resource_name, None, opts)
        self._args = args
        self._name = f"keelson-{args.lab}"
        child = pulumi.ResourceOptions(parent=self)
        self._operator = OperatorKey("operator", clone=args.clone, stack=args.stack, opts=child)
        self._hypervisor = Hypervisor(
            "hypervisor",
            clone=args.clone,
            stack=args.stack,
            uri=args.hypervisor,
            host_key=args.hypervisor_key,
            private_key_path=args.private_key_path,
            bridge=args.bridge,
            opts=child,
        )
        provider = libvirt.Provider("libvirt", uri=self._hypervisor.connection_uri, opts=child)
        # Names on the hypervisor are the lab's, so a replacement finds its own taken until the old one is gone.
        self._child = pulumi.ResourceOptions(parent=self, provider=provider, delete_before_replace=True)
        self._kept = pulumi.ResourceOptions(parent=self, provider=provider, ignore_changes=["source"])
        self._pool = libvirt.Pool(
            "pool",
            name=self._name,
            type="dir",
            target=libvirt.PoolTargetArgs(path=f"/var/lib/libvirt/{self._name}"),
            opts=self._child,
        )
        self._root = self._volume("root", str(args.image.root))
        self._kernel = self._volume("kernel", str(args.image.kernel))
        self._initrd = self._volume("initrd", str(args.image.initrd))
        self._network = None if args.bridge else self._own_network()
        self.hosts = tuple(self._machine(wanted) for wanted in args.machines)
        self.register_outputs({"names": [host.name for host in self.hosts]})

    def _volume(self, name: str, source: str) -> libvirt.Volume:
        return libvirt.Volume(name, name=name, pool=self._pool.name, source=source, opts=self._kept)

    def _own_network(self) -> libvirt.Network:
        return libvirt.Network(
            "network",
            name=self._name,
            mode="nat",
            addresses=[self._args.network],
            dhcp=libvirt.NetworkDhcpArgs(enabled=False),
            autostart=True,
            opts=self._child,
        )

    def _machine(self, wanted: Wanted) -> Host:
        args = self._args
        key = SshHostKey(wanted.name, opts=pulumi.ResourceOptions(parent=self))
        mac = libvirt_vm.mac(args.lab, wanted.name)
        seed = libvirt.CloudInitDisk(
            wanted.name,
            name=f"{wanted.name}-seed.iso",
            pool=self._pool.name,
            # Secret with the key that is in it.
            user_data=pulumi.Output.all(key.private_key, key.public_key, self._operator.public_key).apply(
                lambda values: libvirt_vm.user_data(
                    name=wanted.name, host_key=values[0], host_key_line=values[1], authorized_key=values[2]
                )
            ),
            meta_data=libvirt_vm.meta_data(lab=args.lab, name=wanted.name),
            network_config=libvirt_vm.network_config(
                libvirt_vm.Address(address=wanted.address, prefix=args.prefix, gateway=args.gateway), mac_address=mac
            ),
            opts=self._child,
        )
        disk = libvirt.Volume(
            wanted.name,
            name=f"{wanted.name}.qcow2",
            pool=self._pool.name,
            base_volume_id=self._root.id,
            size=args.disk * _MEBIBYTE,
            opts=self._child,
        )
        interface: dict[str, Any] = (
            {"bridge": args.bridge} if self._network is None else {"network_id": self._network.id}
        )
        domain = libvirt.Domain(
            wanted.name,
            name=f"{self._name}-{wanted.name}",
            type=self._hypervisor.domain_type,
            vcpu=args.cpus,
            memory=args.memory,
            autostart=True,
            kernel=self._kernel.id,
            initrd=self._initrd.id,
            # Words without a value apart, as the plugin reads them back.
            cmdlines=[{"root": "/dev/vda", "console": "ttyS0"}, {"_": "rw"}],
            cpu=libvirt.DomainCpuArgs(
                mode=self._hypervisor.domain_type.apply(lambda kind: "host-passthrough" if kind == "kvm" else "maximum")
            ),
            cloudinit=seed.id,
            disks=[libvirt.DomainDiskArgs(volume_id=disk.id)],
            network_interfaces=[libvirt.DomainNetworkInterfaceArgs(mac=mac, **interface)],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")],
            # What the plugin would add by itself asks for a display that servers do not have.
            graphics=libvirt.DomainGraphicsArgs(type="vnc", listen_type="address"),
            opts=self._child,
        )
        booted = BootedMachine(
            wanted.name,
            address=wanted.address,
            host_key=key.public_key,
            private_key_path=self._operator.path,
            role=wanted.role,
            balanced=args.balanced,
            instance=domain.id,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=domain),
        )
        return Host(
            name=wanted.name,
            address=wanted.address,
            role=wanted.role,
            properties=booted.host,
            resource=domain,
            variables={name: booted.variables[name] for name in ("base_packages", "base_kernel_modules")},
        )
