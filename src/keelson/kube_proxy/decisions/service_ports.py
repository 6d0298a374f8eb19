"""From a Service and its EndpointSlices to what one port of it means on this node: addresses, policies, endpoints.

Reads: Service (spec, status.loadBalancer), EndpointSlice. Which endpoints serve follows KEP-1669 (terminating endpoints
serve where nothing else does), KEP-2086 (internalTrafficPolicy) and KEP-2433 (topology hints).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keelson.api import meta

SERVICE_NAME = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"

IPV4, IPV6 = "ip", "ip6"

Target = tuple[str, int]


@dataclass(frozen=True, slots=True)
class NodeView:
    """What of this node decides over rules. `addresses` are its InternalIPs."""

    name: str
    zone: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service in one address family.

    `cluster_endpoints` serve traffic of policy Cluster, `local_endpoints` that of policy Local; `known` says that some
    endpoint serves somewhere, which makes "none here" a drop and "none at all" a refusal. `affinity_seconds` 0 means
    none. Addresses are canonical text, tuples are sorted: equal values mean equal rules.
    """

    namespace: str
    name: str
    port_name: str
    protocol: str
    family: str
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    affinity_seconds: int
    internal_local: bool
    external_local: bool
    cluster_endpoints: tuple[Target, ...]
    local_endpoints: tuple[Target, ...]
    known: bool


@dataclass(frozen=True, slots=True)
class _Endpoint:
    target: Target
    local: bool
    ready: bool
    draining: bool
    zones: frozenset[str]
    nodes: frozenset[str]


def family_of(address: str) -> str:
    """The nftables family of an address or CIDR."""
    return IPV6 if ":" in address else IPV4


def is_proxied(service: Mapping[str, Any]) -> bool:
    """Whether the Service has a virtual address that this proxy is responsible for."""
    spec = service.get("spec") or {}
    labels = meta.labels(service)
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in {None, "", "None"}
        and PROXY_NAME not in labels
    )


def service_ports(
    service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], node: NodeView
) -> tuple[ServicePort, ...]:
    """The ports of a Service on this node, in both families; none where it is headless or another proxy's."""
    if not is_proxied(service):
        return ()
    spec = service["spec"]
    found = list(slices)
    result: list[ServicePort] = []
    for cluster_ip in spec.get("clusterIPs") or [spec["clusterIP"]]:
        family = family_of(cluster_ip)
        wanted = "IPv6" if family == IPV6 else "IPv4"
        own = [each for each in found if each.get("addressType") == wanted]
        result += [_service_port(service, port, cluster_ip, family, own, node) for port in spec.get("ports") or ()]
    return tuple(result)


def _service_port(
    service: Mapping[str, Any],
    port: Mapping[str, Any],
    cluster_ip: str,
    family: str,
    slices: list[Mapping[str, Any]],
    node: NodeView,
) -> ServicePort:
    spec = service["spec"]
    endpoints = _endpoints(slices, port.get("name") or "", port.get("protocol") or "TCP", node)
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = int(client.get("timeoutSeconds") or 10800)
    return ServicePort(
        namespace=meta.namespace(service),
        name=meta.name(service),
        port_name=port.get("name") or "",
        protocol=(port.get("protocol") or "TCP").lower(),
        family=family,
        cluster_ip=_canonical(cluster_ip),
        port=int(port["port"]),
        node_port=int(port.get("nodePort") or 0) if spec.get("type") in {"NodePort", "LoadBalancer"} else 0,
        external_ips=_addresses(spec.get("externalIPs") or (), family),
        # ipMode Proxy means that the load balancer sends to node ports, so its address is not ours to answer.
        load_balancer_ips=_addresses(
            (each["ip"] for each in ingress if each.get("ip") and each.get("ipMode", "VIP") == "VIP"), family
        )
        if spec.get("type") == "LoadBalancer"
        else (),
        source_ranges=_ranges(spec.get("loadBalancerSourceRanges") or (), family),
        affinity_seconds=affinity,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local",
        cluster_endpoints=_serving(endpoints, _hinted(endpoints, node)),
        local_endpoints=_serving([e for e in endpoints if e.local], None),
        known=any(each.ready or each.draining for each in endpoints),
    )


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))


def _addresses(values: Iterable[str], family: str) -> tuple[str, ...]:
    return tuple(sorted({_canonical(value) for value in values if family_of(value) == family}))


def _ranges(values: Iterable[str], family: str) -> tuple[str, ...]:
    # Spaces around a range are allowed for compatibility (API reference, loadBalancerSourceRanges).
    networks = {ipaddress.ip_network(value.strip(), strict=False) for value in values}
    # Overlapping intervals in one set are refused by nft.
    chosen: list[str] = []
    if family == IPV4:
        chosen = [str(n) for n in ipaddress.collapse_addresses(n for n in networks if n.version == 4)]
    else:
        chosen = [str(n) for n in ipaddress.collapse_addresses(n for n in networks if n.version == 6)]
    return tuple(sorted(chosen))


def _endpoints(slices: Iterable[Mapping[str, Any]], port_name: str, protocol: str, node: NodeView) -> list[_Endpoint]:
    # The same endpoint may be in two slices while it moves between them; the last one seen wins.
    found: dict[Target, _Endpoint] = {}
    for each in slices:
        number = next(
            (
                port.get("port")
                for port in each.get("ports") or ()
                if (port.get("name") or "") == port_name and (port.get("protocol") or "TCP") == protocol
            ),
            None,
        )
        if number is None:
            continue
        for endpoint in each.get("endpoints") or ():
            addresses = endpoint.get("addresses")
            if not addresses:
                continue
            conditions = endpoint.get("conditions") or {}
            # An absent condition reads as "unknown", which consumers take as ready and serving (EndpointConditions).
            ready = conditions.get("ready") is not False
            serving = conditions.get("serving", ready) is not False
            hints = endpoint.get("hints") or {}
            # Only the first address counts (EndpointSlice API).
            target = (_canonical(addresses[0]), int(number))
            found[target] = _Endpoint(
                target=target,
                local=endpoint.get("nodeName") == node.name,
                ready=ready,
                draining=not ready and serving and bool(conditions.get("terminating")),
                zones=frozenset(hint["name"] for hint in hints.get("forZones") or ()),
                nodes=frozenset(hint["name"] for hint in hints.get("forNodes") or ()),
            )
    return sorted(found.values(), key=lambda each: each.target)


def _hinted(endpoints: Iterable[_Endpoint], node: NodeView) -> frozenset[Target] | None:
    """The endpoints that hints keep for this node or zone; None where hints are absent or do not serve all."""
    ready = [each for each in endpoints if each.ready]
    if ready and all(each.nodes for each in ready):
        chosen = frozenset(each.target for each in ready if node.name in each.nodes)
        if chosen:
            return chosen
    if ready and node.zone and all(each.zones for each in ready):
        chosen = frozenset(each.target for each in ready if node.zone in each.zones)
        if chosen:
            return chosen
    return None


def _serving(endpoints: Iterable[_Endpoint], among: frozenset[Target] | None) -> tuple[Target, ...]:
    ready = [each for each in endpoints if each.ready]
    if ready:
        return tuple(each.target for each in ready if among is None or each.target in among)
    return tuple(each.target for each in endpoints if each.draining)
