"""Which pod network a node gets (node IPAM): the first free subnet of each cluster CIDR."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ExhaustedError(Exception):
    """No subnet of the cluster CIDR is free."""


def taken(pod_cidrs: Iterable[str]) -> set[Network]:
    """The networks that nodes have."""
    return {ipaddress.ip_network(text) for text in pod_cidrs}


def next_free(cluster: Network, mask_size: int, used: Iterable[Network]) -> Network:
    """The lowest free subnet of this size; ExhaustedError where all are used.

    A network of another size (as after the mask was changed) blocks every subnet that it overlaps.
    """
    total = 2 ** (mask_size - cluster.prefixlen)
    width = 2 ** (cluster.max_prefixlen - mask_size)
    base = int(cluster.network_address)
    blocked: set[int] = set()
    for network in used:
        if network.version != cluster.version or not network.overlaps(cluster):
            continue
        first = max((int(network.network_address) - base) // width, 0)
        last = min((int(network.broadcast_address) - base) // width, total - 1)
        blocked |= set(range(first, last + 1))
    for index in range(total):
        if index not in blocked:
            return ipaddress.ip_network((base + index * width, mask_size))
    raise ExhaustedError(f"cluster CIDR {cluster} has no free /{mask_size} left")


def for_node(clusters: Sequence[Network], mask_sizes: Sequence[int], used: Iterable[Network]) -> list[str]:
    """A subnet of each cluster CIDR, as spec.podCIDRs lists them."""
    blocked = set(used)
    return [str(next_free(cluster, size, blocked)) for cluster, size in zip(clusters, mask_sizes, strict=True)]
