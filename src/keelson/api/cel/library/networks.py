"""Addresses and networks (Kubernetes' IP and CIDR libraries)."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

from keelson.api.cel import functions
from keelson.api.cel.functions import function
from keelson.api.cel.values import EvalError

Address = IPv4Address | IPv6Address
Network = IPv4Interface | IPv6Interface
_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def _parsed(text: str) -> Address:
    found = ipaddress.ip_address(text)
    if isinstance(found, IPv6Address) and (found.scope_id is not None or found.ipv4_mapped is not None):
        raise ValueError("IP address with zone value is not allowed" if found.scope_id else "IPv4-mapped IPv6 address")
    return found


def _address(text: Any) -> Address:
    if isinstance(text, IPv4Interface | IPv6Interface):
        return text.ip
    try:
        return _parsed(text)
    except ValueError as error:
        raise EvalError(f'IP Address "{text}" parse error during conversion from string: {error}') from error


def _is_address(text: str) -> bool:
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def _interface(text: str) -> Network:
    if "/" not in text or "%" in text:
        raise ValueError("no '/'")
    address, _, length = text.partition("/")
    if not length.isascii() or not length.isdecimal() or (length != "0" and length.startswith("0")):
        raise ValueError("bad prefix length")
    _parsed(address)
    return ipaddress.ip_interface(text)


def _network(text: str) -> Network:
    try:
        return _interface(text)
    except ValueError as error:
        raise EvalError(f'CIDR "{text}" parse error during conversion from string: {error}') from error


def _is_network(text: str) -> bool:
    try:
        _interface(text)
    except ValueError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_address(text)) == text


def _contains_ip(found: Network, other: Any) -> bool:
    address = other if isinstance(other, IPv4Address | IPv6Address) else _address(other)
    return address in found.network


def _contains_network(found: Network, other: Any) -> bool:
    inner = other if isinstance(other, IPv4Interface | IPv6Interface) else _network(other)
    if isinstance(found, IPv4Interface) and isinstance(inner, IPv4Interface):
        return inner.network.subnet_of(found.network)
    if isinstance(found, IPv6Interface) and isinstance(inner, IPv6Interface):
        return inner.network.subnet_of(found.network)
    return False


FUNCTIONS = (
    function("ip", "string -> ip; .cidr -> ip", _address, functions.scan),
    function("isIP", "string -> bool", _is_address, functions.scan),
    function("ip.isCanonical", "string -> bool", _is_canonical, functions.scan),
    function("family", ".ip -> int", lambda found: found.version),
    function("isUnspecified", ".ip -> bool", lambda found: found.is_unspecified),
    function("isLoopback", ".ip -> bool", lambda found: found.is_loopback),
    function("isLinkLocalMulticast", ".ip -> bool", lambda found: found in _LINK_LOCAL_MULTICAST[found.version]),
    function("isLinkLocalUnicast", ".ip -> bool", lambda found: found.is_link_local),
    function(
        "isGlobalUnicast",
        ".ip -> bool",
        lambda found: (
            not (found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local)
            and str(found) != "255.255.255.255"
        ),
    ),
    function("cidr", "string -> cidr", _network, functions.scan),
    function("isCIDR", "string -> bool", _is_network, functions.scan),
    function("containsIP", ".cidr, ip -> bool; .cidr, string -> bool", _contains_ip),
    function("containsCIDR", ".cidr, cidr -> bool; .cidr, string -> bool", _contains_network),
    function("prefixLength", ".cidr -> int", lambda found: found.network.prefixlen),
    function(
        "masked",
        ".cidr -> cidr",
        lambda found: ipaddress.ip_interface(str(found.network)),
    ),
)
