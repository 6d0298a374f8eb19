"""What the components of hosts ask the engine for, with the engine mocked."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.stack import wait_for_rpcs

from components.adopted_machines import AdoptedMachines, AdoptedMachinesArgs, Existing
from components.machines import Wanted
from components.virtual_machines import VirtualMachines, VirtualMachinesArgs
from images.machine.disks import Disk

KEY = "ssh-ed25519 AAAA"


class Engine(mocks.Mocks):
    """Records what is registered; outputs are the inputs, and what a create would tell."""

    def __init__(self) -> None:
        self.registered: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.registered[args.typ.rsplit(":", 1)[-1], args.name] = args.inputs
        told = {
            "host": {"name": args.name, "host_key": KEY},
            "variables": {"base_packages": ["zstd"], "base_kernel_modules": []},
            "public_key": KEY,
            "private_key": "PRIVATE",
            "path": "/lab/id",
            "connection_uri": "qemu+ssh://h/system?x",
            "domain_type": "qemu",
        }
        return f"{args.name}-id", {**args.inputs, **told}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        raise AssertionError(f"nothing is asked of {args.token}")


@pytest.fixture
async def engine(worker_threads: None) -> Engine:
    engine = Engine()
    pulumi.runtime.set_mocks(engine, project="keelson", stack="test", preview=False)
    return engine


async def known(*outputs: pulumi.Input[Any]) -> list[Any]:
    """The values of outputs, once they are there."""
    return list(await pulumi.Output.all(*outputs).future() or [])


def existing(name: str) -> Existing:
    return Existing(
        name=name, address="192.0.2.7", port=22, user="root", host_key=KEY, private_key_path="/k", role="node"
    )


def virtual_machines(**more: Any) -> VirtualMachinesArgs:
    values: dict[str, Any] = {
        "clone": "/clone",
        "stack": "vm",
        "lab": "0a1b2c-vm",
        "hypervisor": "qemu+ssh://root@192.0.2.5/system",
        "hypervisor_key": KEY,
        "private_key_path": "/k",
        "bridge": "br0",
        "network": "192.0.2.0/24",
        "prefix": 24,
        "gateway": "192.0.2.1",
        "image": Disk(digest="d", root=Path("/i/root"), kernel=Path("/i/vmlinuz"), initrd=Path("/i/initrd")),
        "cpus": 2,
        "memory": 2048,
        "disk": 20480,
        "machines": [Wanted("vm-cp-1", "192.0.2.11", "controlPlane")],
        "balanced": False,
    }
    return VirtualMachinesArgs(**{**values, **more})


async def test_an_adopted_host_is_nobodys_to_end_and_tells_what_it_lacks(engine: Engine) -> None:
    args = AdoptedMachinesArgs(machines=[existing("alpha"), existing("beta")], balanced=True)
    hosts = AdoptedMachines("hosts", args).hosts
    assert [host.resource for host in hosts] == [None, None]
    properties, packages = await known(hosts[1].properties, hosts[1].variables["base_packages"])
    assert properties["name"] == "beta"
    assert packages == ["zstd"]
    assert engine.registered["AdoptedMachine", "alpha"]["balanced"] is True
    await wait_for_rpcs()


async def test_a_virtual_machine_emulates_where_its_hypervisor_must(engine: Engine) -> None:
    (host,) = VirtualMachines("hosts", virtual_machines()).hosts
    assert host.resource is not None
    await wait_for_rpcs()
    domain = engine.registered["Domain", "vm-cp-1"]
    assert (domain["type"], domain["cpu"]["mode"]) == ("qemu", "maximum")
    assert domain["networkInterfaces"][0]["bridge"] == "br0"
    assert domain["kernel"] == "kernel-id"
    assert not [kind for kind, _ in engine.registered if kind == "Network"]


async def test_its_seed_holds_the_key_that_is_pinned(engine: Engine) -> None:
    VirtualMachines("hosts", virtual_machines())
    await wait_for_rpcs()
    assert "PRIVATE" in engine.registered["CloudInitDisk", "vm-cp-1"]["userData"]
    assert engine.registered["BootedMachine", "vm-cp-1"]["host_key"] == KEY


async def test_without_a_bridge_the_machines_get_a_network(engine: Engine) -> None:
    VirtualMachines("hosts", virtual_machines(bridge=""))
    await wait_for_rpcs()
    assert engine.registered["Network", "network"]["addresses"] == ["192.0.2.0/24"]
    assert engine.registered["Domain", "vm-cp-1"]["networkInterfaces"][0]["networkId"] == "network-id"
