"""Where a proxied request goes, read from the objects that name it. Pure.

Whoever may write a Node, a Pod or an EndpointSlice states addresses there, and the API server connects to them from
its own place in the network. So an address is only used where it is one that such an object can rightly have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from keelson.api import errors, meta
from keelson.api.meta import Object

KUBELET_PORT = 10250
_SCHEMES = ("", "http", "https")
_MOST_DIGITS = 9


class Named(NamedTuple):
    """`[scheme:]name[:port]` of a proxy's path; scheme and port are "" where not stated."""

    scheme: str
    name: str
    port: str


def named(text: str, kind: str) -> Named:
    """Split the name in a proxy's path; `kind` is for the message. Raises StatusError 400."""
    parts = text.split(":")
    match parts:
        case [name]:
            found = Named("", name, "")
        case [name, port]:
            found = Named("", name, port)
        case [scheme, name, port] if scheme in _SCHEMES:
            found = Named(scheme, name, port)
        case _:
            found = Named("", "", "")
    if not found.name:
        raise errors.bad_request(f'invalid {kind} request "{text}"')
    return found


def port_number(text: str) -> int:
    """A port as a number. Raises StatusError 400."""
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 65536:
        raise errors.bad_request(f'invalid port "{text}": must be a number between 1 and 65535')
    return int(text)


def is_proxyable(address: str) -> bool:
    """Whether a proxied request may go there: not to this host itself, nor to an address that is no host's.

    Unspecified, loopback, link-local and multicast addresses and the broadcast address are none (CVE-2022-3294,
    CVE-2020-8562); so is an IPv4 address of that sort in the form of an IPv6 one.
    """
    return is_node_address(address) and not _plain(address).is_loopback


def is_node_address(address: str) -> bool:
    """Whether a kubelet may be there: as `is_proxyable`, but a node may be the API server's own host."""
    found = _plain(address)
    if found.version == 4 and found == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return not (found.is_unspecified or found.is_link_local or found.is_multicast)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def node_address(node: Object, preferred: Sequence[str]) -> str:
    """The node's first address of the first preferred type (--kubelet-preferred-address-types).

    Raises StatusError 500 where there is none.
    """
    stated = (node.get("status") or {}).get("addresses") or []
    for kind in preferred:
        for each in stated:
            if each.get("type") == kind and each.get("address"):
                return str(each["address"])
    raise errors.internal(f"no preferred addresses found; known addresses: {[each.get('address') for each in stated]}")


def kubelet_port(node: Object) -> int:
    """The port of the node's kubelet (status.daemonEndpoints.kubeletEndpoint.Port)."""
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT)


def pod_addresses(pod: Object) -> list[str]:
    """All addresses of a pod, the first first."""
    status = pod.get("status") or {}
    found = [each["ip"] for each in status.get("podIPs") or [] if each.get("ip")]
    return found or ([status["podIP"]] if status.get("podIP") else [])


def pod_port(pod: Object, stated: str, scheme: str) -> int:
    """The port of a pod that a proxied request is for: the stated one, else the first that a container declares."""
    if stated:
        return port_number(stated)
    for container in (pod.get("spec") or {}).get("containers") or []:
        for port in container.get("ports") or []:
            return int(port["containerPort"])
    return 443 if scheme == "https" else 80


def service_port_name(service: Object, stated: str) -> str:
    """The name of the service's port that a proxied request is for: stated as a number, a name or not at all.

    Raises StatusError 503 where the service has no port of that number.
    """
    if not stated.isdecimal() or len(stated) > _MOST_DIGITS:
        return stated
    for port in (service.get("spec") or {}).get("ports") or []:
        if int(port["port"]) == int(stated):
            return str(port.get("name") or "")
    raise errors.unavailable(f'no service port {stated} found for service "{meta.name(service)}"')


class Endpoint(NamedTuple):
    """One address behind a service, and the pod that is said to have it."""

    address: str
    port: int
    pod: str


def endpoints(slices: Sequence[Object], port_name: str) -> list[Endpoint]:
    """The ready endpoints that serve this port. Those that belong to no pod are left out: nobody vouches for them."""
    found = []
    for each in slices:
        ports = [
            int(p["port"]) for p in each.get("ports") or [] if (p.get("name") or "") == port_name and p.get("port")
        ]
        for endpoint in each.get("endpoints") or []:
            reference = endpoint.get("targetRef") or {}
            if (endpoint.get("conditions") or {}).get("ready") is False or reference.get("kind") != "Pod":
                continue
            addresses = endpoint.get("addresses") or []
            found += [Endpoint(address, port, reference.get("name") or "") for address in addresses for port in ports]
    return found
