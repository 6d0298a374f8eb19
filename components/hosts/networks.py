"""A lab's network: a network namespace of its own with a bridge in it, and one veth pair out to the operator.

The hosts' /24 has the bridge (the hosts' default gateway, which leads nowhere: a lab needs no egress, and a packet that
finds no route there is refused at once instead of vanishing) and the operator's end of the pair. Deleting the namespace
and that link removes everything; no address translation, no firewall rule and no setting outside is touched.
"""

import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.hosts import files
from components.hosts.errors import HostError
from components.hosts.labs import Lab
from components.setup import caches, commands

BRIDGE = "br0"
_UPLINK = "uplink"
_GATEWAY_INDEX = 1
_OPERATOR_INDEX = 2
_FIRST_HOST_INDEX = 11
# Where derived subnets come from: private (RFC 1918) and clear of the usual pod and service ranges.
_POOL = ipaddress.IPv4Network("10.128.0.0/10")
_ATTEMPTS = 64


@dataclass(frozen=True, kw_only=True)
class Network:
    """A lab's network as it stands. `subnet` is a /24 that holds all other addresses."""

    subnet: ipaddress.IPv4Network
    namespace: str
    link: str

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """The bridge's address, the hosts' default route."""
        return self.subnet[_GATEWAY_INDEX]

    @property
    def operator(self) -> ipaddress.IPv4Address:
        """The operator's address in the subnet."""
        return self.subnet[_OPERATOR_INDEX]

    def hosts(self) -> list[ipaddress.IPv4Address]:
        """Return the addresses that hosts and virtual addresses may have, in the order they are best given out."""
        return [self.subnet[index] for index in range(_FIRST_HOST_INDEX, 255)]


def ensure(lab: Lab, subnet: ipaddress.IPv4Network | None = None) -> Network:
    """Return the lab's network, made or completed if need be.

    Without `subnet` it is derived from the lab's identity, passing over what is in use. Raises HostError if a given
    subnet is no /24, overlaps a route or an address that this machine has, or differs from what the lab already has.
    """
    if subnet is not None and subnet.prefixlen != 24:
        raise HostError(f"the hosts' network {subnet} is not a /24", "give a network of 256 addresses")
    lab.make_directory()
    # One at a time on this machine: two labs must not choose the same subnet between looking and taking.
    with caches.locked(caches.root() / "networks.lock", "a lab's network"):
        record = lab.directory / "network.json"
        recorded = _recorded(lab)
        if recorded is None:
            chosen = _free(lab) if subnet is None else _checked(lab, subnet)
            files.write(record, json.dumps({"subnet": str(chosen)}) + "\n")
        elif subnet is not None and recorded != subnet:
            raise HostError(
                f"lab {lab.id} has the network {recorded}, not {subnet}", "destroy its hosts before moving them"
            )
        else:
            chosen = _checked(lab, recorded)
        network = Network(subnet=chosen, namespace=lab.namespace, link=lab.link)
        _complete(lab, network)
    return network


def read(lab: Lab) -> Network | None:
    """Return the lab's network if all of it is there, else None."""
    subnet = _recorded(lab)
    if subnet is None:
        return None
    network = Network(subnet=subnet, namespace=lab.namespace, link=lab.link)
    if not _namespace_exists(lab) or str(network.operator) not in _addresses(_show(lab.link)):
        return None
    inside = _show(BRIDGE, lab.namespace)
    uplink = _show(_UPLINK, lab.namespace)
    complete = str(network.gateway) in _addresses(inside) and uplink is not None and uplink.get("master") == BRIDGE
    return network if complete else None


def delete(lab: Lab) -> None:
    """Remove the lab's network, its operator key and its folder; what is gone already is no error.

    Raises HostError while hosts of the lab exist.
    """
    hosts = sorted(path.parent.name for path in lab.hosts_directory.glob("*/host.json"))
    if hosts:
        raise HostError(f"lab {lab.id} still has hosts: {', '.join(hosts)}", "delete them first")
    clear(lab.namespace, lab.link)
    for file in (*lab.hosts_directory.glob(".*.lock"), lab.directory / "id_ed25519", lab.directory / "network.json"):
        file.unlink(missing_ok=True)
    for folder in (lab.hosts_directory, lab.directory):
        # What others put there is theirs to remove.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def clear(namespace: str, link: str) -> None:
    """Remove a lab's namespace and link by their names, each if it is there."""
    # The link first: should anything pin the namespace, the machine is rid of the lab's address all the same.
    if _show(link) is not None:
        _ip("link", "delete", link)
    if Path("/run/netns", namespace).exists():
        _ip("netns", "delete", namespace)


def _complete(lab: Lab, network: Network) -> None:
    prefix = network.subnet.prefixlen
    if not _namespace_exists(lab):
        # A file without a namespace is left where `ip netns add` was killed; it would make the next one fail.
        Path("/run/netns", lab.namespace).unlink(missing_ok=True)
        _ip("netns", "add", lab.namespace)
    _ip("-n", lab.namespace, "link", "set", "lo", "up")
    _sysctl_in(lab.namespace, "net.ipv4.ip_forward", "1")
    if _show(BRIDGE, lab.namespace) is None:
        _ip("-n", lab.namespace, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    _ip("-n", lab.namespace, "address", "replace", f"{network.gateway}/{prefix}", "dev", BRIDGE)
    _ip("-n", lab.namespace, "link", "set", BRIDGE, "up")
    if _show(lab.link) is None or _show(_UPLINK, lab.namespace) is None:
        if _show(lab.link) is not None:
            _ip("link", "delete", lab.link)
        _ip("link", "add", lab.link, "type", "veth", "peer", "name", _UPLINK, "netns", lab.namespace)
    _ip("-n", lab.namespace, "link", "set", _UPLINK, "master", BRIDGE, "up")
    _ip("link", "set", lab.link, "alias", lab.alias[:255])
    _ip("link", "set", lab.link, "up")
    _ip("address", "replace", f"{network.operator}/{prefix}", "dev", lab.link)


def _recorded(lab: Lab) -> ipaddress.IPv4Network | None:
    try:
        content = json.loads((lab.directory / "network.json").read_text())
    except FileNotFoundError:
        return None
    return ipaddress.IPv4Network(content["subnet"])


def _free(lab: Lab) -> ipaddress.IPv4Network:
    taken = list(_taken(lab))
    for attempt in range(_ATTEMPTS):
        number = int.from_bytes(hashlib.sha256(f"{lab.id}/{attempt}".encode()).digest()[:8], "big")
        base = int(_POOL.network_address) + number % (1 << (24 - _POOL.prefixlen)) * 256
        subnet = ipaddress.IPv4Network((base, 24))
        if not any(subnet.overlaps(other) for other, _ in taken):
            return subnet
    raise HostError(f"no free /24 found in {_POOL} for lab {lab.id}", "set the hosts' network in the stack's config")


def _checked(lab: Lab, subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    for other, owner in _taken(lab):
        if subnet.overlaps(other):
            raise HostError(
                f"the hosts' network {subnet} of lab {lab.id} overlaps {other}, which {owner} has",
                "choose another network in the stack's config",
            )
    return subnet


def _taken(lab: Lab) -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    """Yield each network that this machine reaches other than by its default route, with the interface that has it."""
    for route in _json("-4", "route", "show", "table", "all"):
        owner = route.get("dev", "a route without interface")
        if route["dst"] != "default" and owner != lab.link:
            yield ipaddress.IPv4Network(route["dst"], strict=False), owner


def _namespace_exists(lab: Lab) -> bool:
    return any(entry.get("name") == lab.namespace for entry in _json("netns", "list"))


def _show(link: str, namespace: str | None = None) -> dict[str, Any] | None:
    """Return the one interface with its addresses, or None if there is none."""
    if namespace is not None and not Path("/run/netns", namespace).exists():
        return None
    listed = _json(*(("-n", namespace) if namespace else ()), "address", "show")
    return next((entry for entry in listed if entry.get("ifname") == link), None)


def _addresses(entry: dict[str, Any] | None) -> set[str]:
    return {address["local"] for address in entry.get("addr_info", ())} if entry else set()


def _json(*arguments: str) -> list[dict[str, Any]]:
    text = _ip("-json", *arguments)
    return [entry for entry in json.loads(text or "[]") if entry]


def _ip(*arguments: str) -> str:
    return commands.capture(["ip", *arguments])


def _sysctl_in(namespace: str, name: str, value: str) -> None:
    # /proc/sys/net shows the namespace of the process that opens it, so a process has to go in. Not `ip netns exec`,
    # which would mount a new /sys for nothing.
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        subprocess.run(
            ["nsenter", f"--net=/run/netns/{namespace}", "tee", path],
            input=value,
            text=True,
            check=True,
            capture_output=True,
        )
    except subprocess.CalledProcessError as error:
        raise HostError(f"cannot set {name} in {namespace}", error.stderr.strip()) from error
