"""From the cluster's Nodes to the plan of one node: its CNI configuration, its routes, its masquerading.

Reads: Node (spec.podCIDRs, status.addresses). Pods are joined by routed veth pairs (the plugin `ptp`), not by a bridge:
every packet then passes the host's rules, so that a Service whose endpoint is a pod of the same node works without
br_netfilter, which a kernel may lack. Addresses come from `host-local`, whose leases lie on tmpfs and end with a boot.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keelson.api import meta

log = logging.getLogger(__name__)

IPV4, IPV6 = "ip", "ip6"
TABLE = "keelson-pod-network"
LEASES = "/run/cni/keelson"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """What the network needs of one Node. Networks and addresses are canonical text."""

    name: str
    pod_cidrs: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one node must have. `routes` maps a pod CIDR to its gateway; `cluster` are all pods' CIDRs, disjoint."""

    pod_cidrs: tuple[str, ...]
    routes: Mapping[str, str]
    cluster: tuple[str, ...]
    addresses: tuple[str, ...]


def family_of(network: str) -> str:
    """The nftables family of an address or CIDR."""
    return IPV6 if ":" in network else IPV4


def node_network(node: Mapping[str, Any]) -> NodeNetwork:
    """The network of a Node; what does not parse is left out, for the Node's writer alone can mend it."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    cidrs = spec.get("podCIDRs") or [spec.get("podCIDR")]
    addresses = (each.get("address") for each in status.get("addresses") or () if each.get("type") == "InternalIP")
    return NodeNetwork(
        meta.name(node),
        tuple(filter(None, (_parsed(ipaddress.ip_network, cidr) for cidr in cidrs))),
        tuple(filter(None, (_parsed(ipaddress.ip_address, address) for address in addresses))),
    )


def _parsed(kind: Any, text: Any) -> str:
    try:
        return str(kind(text)) if text else ""
    except ValueError:
        return ""


def plan(nodes: Iterable[NodeNetwork], own: str, cluster_cidrs: Iterable[str] = ()) -> Plan | None:
    """The plan of the node named `own`; None while it is unknown or has no pod CIDR.

    Of two nodes that claim overlapping CIDRs the first by name is believed, and this node before all.
    """
    found = {node.name: node for node in nodes}
    me = found.get(own)
    if me is None or not me.pod_cidrs:
        return None
    taken = [ipaddress.ip_network(cidr) for cidr in me.pod_cidrs]
    routes: dict[str, str] = {}
    for name in sorted(found):
        if name == own:
            continue
        for cidr in found[name].pod_cidrs:
            gateway = next((each for each in found[name].addresses if family_of(each) == family_of(cidr)), "")
            network = ipaddress.ip_network(cidr)
            if not gateway or gateway in me.addresses:
                continue
            if any(_overlap(network, each) for each in taken):
                log.warning('node "%s": its pod CIDR %s overlaps another node\'s; no route is set', name, cidr)
                continue
            taken.append(network)
            routes[cidr] = gateway
    every = [*taken, *(ipaddress.ip_network(cidr) for cidr in cluster_cidrs)]
    return Plan(me.pod_cidrs, routes, _collapsed(every), me.addresses)


def _overlap(left: _Network, right: _Network) -> bool:
    return left.version == right.version and left.overlaps(right)


def _collapsed(networks: Iterable[_Network]) -> tuple[str, ...]:
    found = list(networks)
    four = ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv6Network))
    return (*map(str, four), *map(str, six))


def cni_configuration(pod_cidrs: Iterable[str], mtu: int) -> bytes:
    """The CNI network list (CNI specification 1.0) of a node with these CIDRs; `mtu` 0 leaves the kernel's default."""
    cidrs = list(pod_cidrs)
    families = {family_of(cidr) for cidr in cidrs}
    routes = [{"dst": "0.0.0.0/0" if family == IPV4 else "::/0"} for family in sorted(families)]
    link: dict[str, Any] = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": LEASES,
            "ranges": [[{"subnet": cidr}] for cidr in cidrs],
            "routes": routes,
        },
    }
    if mtu:
        link["mtu"] = mtu
    document = {
        "cniVersion": "1.0.0",
        "name": "keelson",
        "plugins": [link, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def masquerading(wanted: Plan) -> str:
    """The nft transaction after which pods of this node leave the cluster under the node's own address."""
    lines: list[str] = []
    for family in (IPV4, IPV6):
        own = [cidr for cidr in wanted.pod_cidrs if family_of(cidr) == family]
        if not own:
            continue
        cluster = [cidr for cidr in wanted.cluster if family_of(cidr) == family]
        multicast = "224.0.0.0/4" if family == IPV4 else "ff00::/8"
        source = f"{family} saddr {{ {', '.join(own)} }}"
        elsewhere = f"{family} daddr != {{ {', '.join([*cluster, multicast])} }}"
        table = f"{family} {TABLE}"
        lines += [
            f"add table {table}",
            f"delete table {table}",
            f"add table {table}",
            # After the service proxy's own translation at 100, which may have settled the source already.
            f"add chain {table} postrouting {{ type nat hook postrouting priority 110 ; }}",
            f"add rule {table} postrouting {source} {elsewhere} masquerade fully-random",
        ]
    return "\n".join(lines) + "\n"


def route_changes(current: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """(routes to set, routes to remove) that turn what the kernel has of ours into what is wanted."""
    changed = {cidr: gateway for cidr, gateway in wanted.items() if current.get(cidr) != gateway}
    return changed, [cidr for cidr in current if cidr not in wanted]
