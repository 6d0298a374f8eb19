"""The kernel's routes to other nodes' pods, over netlink.

Ours bear a protocol number of their own (rtnetlink(7), rtm_protocol), by which they are found again: other daemons' and
the administrator's routes are never touched. The netlink library brings an event loop of its own, so it works in a
thread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping

from pyroute2.iproute.linux import IPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

# Not among the numbers that /etc/iproute2/rt_protos assigns.
PROTOCOL = 75

_NO_SUCH_PROCESS = 3


class RouteError(Exception):
    """A route that the kernel refused; the message names it."""


async def current() -> dict[str, str]:
    """Our routes as the kernel has them: pod CIDR to gateway."""
    return await asyncio.to_thread(_current)


async def change(changed: Mapping[str, str], removed: Iterable[str]) -> list[RouteError]:
    """Remove and set routes; what the kernel refused is returned, the others are done."""
    return await asyncio.to_thread(_change, dict(changed), list(removed))


async def mtu(addresses: Iterable[str]) -> int:
    """The MTU of the interface that has one of the node's addresses; 0 where none has."""
    return await asyncio.to_thread(_mtu, frozenset(addresses))


def _current() -> dict[str, str]:
    found: dict[str, str] = {}
    with IPRoute() as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            for route in kernel.get_routes(family=family, proto=PROTOCOL):
                destination, gateway = route.get("dst"), route.get("gateway")
                if destination and gateway and route["proto"] == PROTOCOL:
                    found[str(ipaddress.ip_network(f"{destination}/{route['dst_len']}"))] = gateway
    return found


def _change(changed: dict[str, str], removed: list[str]) -> list[RouteError]:
    refused: list[RouteError] = []
    with IPRoute() as kernel:
        for cidr in removed:
            try:
                kernel.route("del", dst=cidr, proto=PROTOCOL)
            except NetlinkError as error:
                # It may have gone with its interface since it was listed.
                if error.code != _NO_SUCH_PROCESS:
                    refused.append(RouteError(f"route to {cidr} can't be removed: {error}"))
        for cidr, gateway in changed.items():
            try:
                kernel.route("replace", dst=cidr, gateway=gateway, proto=PROTOCOL)
            except NetlinkError as error:
                refused.append(RouteError(f"route to {cidr} by {gateway} can't be set: {error}"))
    return refused


def _mtu(addresses: frozenset[str]) -> int:
    with IPRoute() as kernel:
        index = next((each["index"] for each in kernel.get_addr() if each.get("address") in addresses), 0)
        return next((int(each.get("mtu")) for each in kernel.get_links() if index and each["index"] == index), 0)
