"""The rules of one Service port, and the skeleton that all of them hang on.

A packet to a virtual address is looked up once, in a map keyed by address, protocol and port, and goes to the port's
own chain: cost does not grow with the number of Services. A chain picks an endpoint by a random number out of an
anonymous map, so that a change of endpoints replaces one rule. Only session affinity needs a chain and a set per
endpoint.
Semantics: Service API (types, traffic policies, sessionAffinity, loadBalancerSourceRanges), KEP-3866.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from .rulesets import Element, Fragment, Ruleset
from .service_ports import IPV4, NodeView, ServicePort, Target, family_of

_MARK = "mark-for-masquerade"
_REJECT = "reject-chain"
# Kernel and nft accept 255 bytes; the hash keeps truncated names apart.
_NAME_LENGTH = 150


@dataclass(frozen=True, slots=True)
class Options:
    """What the configuration decides over rules.

    `local` are matches such as "ip saddr 10.0.0.0/8", one a family at most, for traffic of this node's or cluster's
    pods (detectLocalMode). `node_port_addresses` is None for the node's own addresses, else CIDRs of local addresses.
    """

    masquerade_bit: int = 14
    masquerade_all: bool = False
    local: tuple[tuple[str, str], ...] = ()
    node_port_addresses: tuple[str, ...] | None = None
    conntrack_liberal: bool = False

    @property
    def mark(self) -> str:
        """The packet mark that asks for masquerading."""
        return f"{1 << self.masquerade_bit:#x}"

    def local_match(self, family: str) -> str:
        """The match of traffic from pods, "" where none is configured."""
        return dict(self.local).get(family, "")


def skeleton(family: str, node: NodeView, options: Options) -> Ruleset:
    """The table without any Service."""
    address = "ipv4_addr" if family == IPV4 else "ipv6_addr"
    triple = f"type {address} . inet_proto . inet_service : verdict ;"
    pair = "type inet_proto . inet_service : verdict ;"
    by_address = f"{family} daddr . meta l4proto . th dport vmap"
    by_port = "meta l4proto . th dport vmap"
    mark = options.mark
    result = Ruleset(family)
    result.sets = {
        "cluster-ips": ("set", f"type {address} ;"),
        "hairpins": ("set", f"type {address} . {address} ;"),
        "service-ips": ("map", triple),
        "service-nodeports": ("map", pair),
        "no-endpoint-services": ("map", triple),
        "no-endpoint-nodeports": ("map", pair),
        "firewall-ips": ("map", triple),
    }
    node_ports = _node_port_match(family, node, options)
    services = [f"{by_address} @service-ips"]
    missing = [f"{by_address} @no-endpoint-services"]
    if node_ports:
        services.append(f"{node_ports} {by_port} @service-nodeports")
        missing.append(f"{node_ports} {by_port} @no-endpoint-nodeports")
    result.hooks = {
        "filter-prerouting": "type filter hook prerouting priority -110 ;",
        "filter-input": "type filter hook input priority -110 ;",
        "filter-forward": "type filter hook forward priority -110 ;",
        "filter-output": "type filter hook output priority -110 ;",
        "filter-translated": "type filter hook output priority -90 ;",
        "nat-prerouting": "type nat hook prerouting priority -100 ;",
        "nat-output": "type nat hook output priority -100 ;",
        "nat-postrouting": "type nat hook postrouting priority 100 ;",
    }
    forward = [] if options.conntrack_liberal else ["ct state invalid drop"]
    result.chains = {
        _MARK: (f"meta mark set meta mark | {mark}",),
        _REJECT: ("reject",),
        "services": tuple(services),
        "no-endpoints": tuple(missing),
        # A port that the Service does not have is refused rather than routed away.
        "cluster-ips-check": (f"{family} daddr @cluster-ips reject",),
        "filter-prerouting": (f"ct state new {by_address} @firewall-ips",),
        "filter-input": ("ct state new jump no-endpoints", "ct state new jump cluster-ips-check"),
        "filter-forward": (*forward, "ct state new jump no-endpoints", "ct state new jump cluster-ips-check"),
        "filter-output": (f"ct state new {by_address} @firewall-ips",),
        # After translation: what still bears a virtual address here was taken by no Service.
        "filter-translated": ("ct state new jump no-endpoints", "ct state new jump cluster-ips-check"),
        "nat-prerouting": ("jump services",),
        "nat-output": ("jump services",),
        "nat-postrouting": (
            # A pod that reaches itself through a Service would answer itself directly, past the translation.
            f"{family} saddr . {family} daddr @hairpins ct status dnat masquerade fully-random",
            f"meta mark & {mark} == 0 return",
            f"meta mark set meta mark ^ {mark}",
            "masquerade fully-random",
        ),
    }
    return result


def _node_port_match(family: str, node: NodeView, options: Options) -> str:
    """The match of local addresses that serve node ports, "" where this family has none."""
    if options.node_port_addresses is None:
        own = [address for address in node.addresses if family_of(address) == family]
        return f"{family} daddr {{ {', '.join(sorted(own))} }}" if own else ""
    ranges = [each for each in options.node_port_addresses if family_of(each) == family]
    if not ranges:
        return ""
    loopback = "127.0.0.0/8" if family == IPV4 else "::1"
    everything = any(each.endswith("/0") for each in ranges)
    # Loopback is never served: its packets can't be translated without route_localnet, as upstream's nftables mode.
    limit = "" if everything else f"{family} daddr {{ {', '.join(sorted(ranges))} }} "
    return f"{limit}fib daddr type local {family} daddr != {loopback}"


def fragment(port: ServicePort, options: Options) -> Fragment:
    """The chains, sets and elements of one Service port."""
    return _Builder(port, options).build()


class _Builder:
    def __init__(self, port: ServicePort, options: Options) -> None:
        self._port = port
        self._options = options
        self._label = f"{port.namespace}/{port.name}/{port.protocol}/{port.port_name}"
        self._chains: dict[str, tuple[str, ...]] = {}
        self._sets: dict[str, tuple[str, str]] = {}
        self._elements: dict[Element, str] = {}

    def build(self) -> Fragment:
        port = self._port
        self._elements["cluster-ips", port.cluster_ip] = ""
        for address, _ in port.local_endpoints:
            self._elements["hairpins", f"{address} . {address}"] = ""
        internal = self._dispatch("local", port.local_endpoints) if port.internal_local else self._cluster()
        self._address(port.cluster_ip, internal)
        if port.node_port or port.external_ips or port.load_balancer_ips:
            self._external()
        return Fragment(self._chains, self._sets, self._elements)

    # Names

    def _named(self, kind: str, more: str = "") -> str:
        # nft takes no colons in names, and IPv6 addresses have them.
        text = (self._label + (f"__{more}" if more else "")).replace(":", ".")
        digest = hashlib.sha256(f"{self._port.family} {kind} {text}".encode()).hexdigest()[:8].upper()
        return f"{kind}-{digest}-{text}"[:_NAME_LENGTH]

    def _key(self, address: str) -> str:
        return f"{address} . {self._port.protocol} . {self._port.port}"

    # Destinations

    def _address(self, address: str, chain: str) -> None:
        """Sends an address to a chain, or to its refusal where there is none."""
        if chain:
            self._elements["service-ips", self._key(address)] = f"goto {chain}"
        else:
            self._elements["no-endpoint-services", self._key(address)] = self._refusal()

    def _refusal(self) -> str:
        # Endpoints on other nodes alone: the sender should try another node, so the packet vanishes.
        return "drop" if self._port.known else f"goto {_REJECT}"

    def _external(self) -> None:
        port = self._port
        serving = port.local_endpoints if port.external_local else port.cluster_endpoints
        chain = self._external_chain() if serving or (port.external_local and port.cluster_endpoints) else ""
        for address in port.external_ips:
            self._address(address, chain)
        for address in port.load_balancer_ips:
            self._address(address, chain)
            if port.source_ranges:
                self._elements["firewall-ips", self._key(address)] = f"goto {self._firewall()}"
        if port.node_port:
            key = f"{port.protocol} . {port.node_port}"
            if chain:
                self._elements["service-nodeports", key] = f"goto {chain}"
            else:
                self._elements["no-endpoint-nodeports", key] = self._refusal()
        if chain and not serving:
            # Pods and the node itself get through; others fall out of the chain untranslated and are dropped.
            for address in (*port.external_ips, *port.load_balancer_ips):
                self._elements["no-endpoint-services", self._key(address)] = "drop"
            if port.node_port:
                self._elements["no-endpoint-nodeports", f"{port.protocol} . {port.node_port}"] = "drop"

    def _external_chain(self) -> str:
        port, options = self._port, self._options
        cluster = self._cluster()
        name = self._named("external")
        if not port.external_local:
            self._chains[name] = (f"jump {_MARK}", f"goto {cluster}")
            return name
        rules: list[str] = []
        if cluster:
            # Policy Local binds traffic from outside; what starts inside of the cluster may go anywhere.
            local = options.local_match(port.family)
            if local:
                rules.append(f"{local} goto {cluster}")
            rules += [f"fib saddr type local jump {_MARK}", f"fib saddr type local goto {cluster}"]
        here = self._dispatch("local", port.local_endpoints)
        if here:
            rules.append(f"goto {here}")
        self._chains[name] = tuple(rules)
        return name

    def _firewall(self) -> str:
        name = self._named("firewall")
        ranges = ", ".join(self._port.source_ranges)
        self._chains[name] = (f"{self._port.family} saddr != {{ {ranges} }} drop",)
        return name

    # Endpoints

    def _cluster(self) -> str:
        return self._dispatch("service", self._port.cluster_endpoints)

    def _dispatch(self, kind: str, endpoints: Sequence[Target]) -> str:
        """The chain that sends a packet to one of the endpoints; "" where there are none."""
        if not endpoints:
            return ""
        name = self._named(kind)
        if name in self._chains:
            return name
        rules = self._masquerading()
        if self._port.affinity_seconds:
            rules += self._with_affinity(endpoints)
        else:
            choice = ", ".join(f"{n} : {address} . {port}" for n, (address, port) in enumerate(endpoints))
            rules.append(
                f"meta l4proto {self._port.protocol} dnat {self._port.family} addr . port to "
                f"numgen random mod {len(endpoints)} map {{ {choice} }}"
            )
        self._chains[name] = tuple(rules)
        return name

    def _masquerading(self) -> list[str]:
        """Traffic to the cluster address that is not a pod's must come back through this node."""
        port, options = self._port, self._options
        match = f"{port.family} daddr {port.cluster_ip}"
        if options.masquerade_all:
            return [f"{match} jump {_MARK}"]
        local = options.local_match(port.family)
        return [f"{match} {_negated(local)} jump {_MARK}"] if local else []

    def _with_affinity(self, endpoints: Sequence[Target]) -> list[str]:
        port = self._port
        kind = "ipv4_addr" if port.family == IPV4 else "ipv6_addr"
        rules: list[str] = []
        choice: list[str] = []
        for number, (address, target_port) in enumerate(endpoints):
            more = f"{address}/{target_port}"
            chain, remembered = (
                self._named("endpoint", more),
                self._named("affinity", f"{more}/{port.affinity_seconds}"),
            )
            self._sets[remembered] = (
                "set",
                f"type {kind} ; flags dynamic, timeout ; timeout {port.affinity_seconds}s ;",
            )
            joined = f"{address}:{target_port}" if port.family == IPV4 else f"[{address}]:{target_port}"
            self._chains[chain] = (
                f"update @{remembered} {{ {port.family} saddr }}",
                f"meta l4proto {port.protocol} dnat to {joined}",
            )
            rules.append(f"{port.family} saddr @{remembered} goto {chain}")
            choice.append(f"{number} : goto {chain}")
        rules.append(f"numgen random mod {len(endpoints)} vmap {{ {', '.join(choice)} }}")
        return rules


def _negated(match: str) -> str:
    """The opposite of a match that consists of a selector and one value."""
    selector, _, value = match.rpartition(" ")
    return f"{selector} != {value}"
