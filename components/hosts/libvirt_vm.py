"""Virtual machines: who cloud-init makes of one, and what it is called on its hypervisor.

Pure: the documents are values. A machine's SSH host key is made before the machine and given to it by its seed, so it
is pinned before it first answers.
"""

import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass

_URI = re.compile(
    r"qemu\+ssh://(?:(?P<user>[a-z_][a-z0-9_-]*)@)?(?P<host>[0-9A-Za-z.-]+)(?::(?P<port>\d{1,5}))?/system"
)

# The prefix that QEMU and KVM use, locally administered.
_MAC_PREFIX = "52:54:00"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a virtual machine is: its IPv4 address, its network's prefix length, and the gateway if it has one."""

    address: str
    prefix: int
    gateway: str | None


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """The account and SSH server that a hypervisor's URI names."""

    user: str
    host: str
    port: int


def parse_uri(uri: str) -> Hypervisor:
    """Return what `qemu+ssh://[user@]host[:port]/system` names; raise ValueError for any other URI."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri!r} is not of the form qemu+ssh://user@host/system")
    return Hypervisor(user=match["user"] or "root", host=match["host"], port=int(match["port"] or 22))


def connection_uri(hypervisor: Hypervisor, *, private_key_path: str, known_hosts_path: str) -> str:
    """Return the URI by which the libvirt plugin reaches the hypervisor, with nothing but the pinned key trusted."""
    query = urllib.parse.urlencode(
        {"keyfile": private_key_path, "knownhosts": known_hosts_path, "sshauth": "privkey"}, safe="/"
    )
    return f"qemu+ssh://{hypervisor.user}@{hypervisor.host}:{hypervisor.port}/system?{query}"


def mac(lab: str, name: str) -> str:
    """Return the machine's MAC address, which is its own among all labs' on one wire."""
    digest = hashlib.sha256(f"{lab}/{name}".encode()).hexdigest()
    return ":".join((_MAC_PREFIX, digest[:2], digest[2:4], digest[4:6]))


def user_data(*, name: str, host_key: str, host_key_line: str, authorized_key: str) -> str:
    """Return cloud-init's user data: the machine's name, its SSH host key, and the operator's key for root.

    JSON is YAML, which cloud-init reads (cloud-init: "User data formats").
    """
    content = {
        "hostname": name,
        "preserve_hostname": False,
        "disable_root": False,
        "ssh_pwauth": False,
        "users": [{"name": "root", "ssh_authorized_keys": [authorized_key.strip()]}],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key, "ed25519_public": host_key_line.strip()},
    }
    return f"#cloud-config\n{json.dumps(content, indent=1)}\n"


def meta_data(*, lab: str, name: str) -> str:
    """Return cloud-init's metadata: the identity by which it knows that it has set this machine up already."""
    return json.dumps({"instance-id": f"{lab}-{name}", "local-hostname": name}) + "\n"


def network_config(address: Address, *, mac_address: str) -> str:
    """Return cloud-init's network configuration, version 2: one interface with a fixed address."""
    interface: dict[str, object] = {
        "match": {"macaddress": mac_address},
        "addresses": [f"{address.address}/{address.prefix}"],
    }
    if address.gateway is not None:
        interface["routes"] = [{"to": "0.0.0.0/0", "via": address.gateway}]
    return json.dumps({"version": 2, "ethernets": {"primary": interface}}) + "\n"
