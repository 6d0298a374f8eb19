"""What a virtual machine is told of itself by its seed."""

import json

import pytest

from components.hosts import libvirt_vm


def test_user_data_gives_the_pinned_host_key_and_the_operators_key() -> None:
    text = libvirt_vm.user_data(
        name="vm-cp-1", host_key="PRIVATE\n", host_key_line="ssh-ed25519 AAAA\n", authorized_key="ssh-ed25519 BBBB\n"
    )
    first, _, rest = text.partition("\n")
    content = json.loads(rest)
    # cloud-init takes a document without this line for something else.
    assert first == "#cloud-config"
    assert content["ssh_keys"] == {"ed25519_private": "PRIVATE\n", "ed25519_public": "ssh-ed25519 AAAA"}
    assert content["users"] == [{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 BBBB"]}]
    assert content["ssh_pwauth"] is False


def test_network_config_names_the_interface_by_its_address() -> None:
    address = libvirt_vm.Address(address="192.0.2.11", prefix=24, gateway="192.0.2.1")
    content = json.loads(libvirt_vm.network_config(address, mac_address="52:54:00:00:00:01"))
    assert content["ethernets"]["primary"] == {
        "match": {"macaddress": "52:54:00:00:00:01"},
        "addresses": ["192.0.2.11/24"],
        "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1"}],
    }


def test_machines_of_two_labs_have_their_own_mac_addresses() -> None:
    found = {libvirt_vm.mac(lab, name) for lab in ("0a1b2c-vm", "0a1b2d-vm") for name in ("vm-cp-1", "vm-node-1")}
    assert len(found) == 4
    assert all(mac.startswith("52:54:00:") and len(mac) == 17 for mac in found)


def test_the_connection_trusts_the_pinned_key_and_nothing_else() -> None:
    hypervisor = libvirt_vm.parse_uri("qemu+ssh://me@192.0.2.5:2222/system")
    assert (hypervisor.user, hypervisor.host, hypervisor.port) == ("me", "192.0.2.5", 2222)
    assert libvirt_vm.connection_uri(hypervisor, private_key_path="/k/id", known_hosts_path="/k/hosts") == (
        "qemu+ssh://me@192.0.2.5:2222/system?keyfile=/k/id&knownhosts=/k/hosts&sshauth=privkey"
    )


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+tcp://192.0.2.5/system", "qemu+ssh://192.0.2.5/system?x=1"])
def test_another_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="qemu\\+ssh"):
        libvirt_vm.parse_uri(uri)
