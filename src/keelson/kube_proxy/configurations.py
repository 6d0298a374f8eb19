"""Flags and the KubeProxyConfiguration file (kubeproxy.config.k8s.io/v1alpha1), with upstream's names and defaults.

As upstream does, a file given by --config overrides all flags but --hostname-override.
"""

from __future__ import annotations

import argparse
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from keelson.component_base import configurations, logs
from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.flags import Parser

LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What the daemon runs with. Periods are seconds; `node_port_addresses` None means the node's own addresses."""

    kubeconfig: str
    node_name: str
    healthz_address: tuple[str, int] | None = ("0.0.0.0", 10256)  # noqa: S104 - upstream's default
    metrics_address: tuple[str, int] | None = ("127.0.0.1", 10249)
    cluster_cidrs: tuple[str, ...] = ()
    local_mode: str = "ClusterCIDR"
    bridge_interface: str = ""
    interface_prefix: str = ""
    node_port_addresses: tuple[str, ...] | None = None
    masquerade_bit: int = 14
    masquerade_all: bool = False
    sync_period: float = 30.0
    min_sync_period: float = 1.0
    conntrack_liberal: bool = False
    verbosity: int = 2
    log_format: str = "text"
    cleanup: bool = field(default=False)


def parse(arguments: Sequence[str]) -> Configuration:
    """The configuration of a command line; ConfigurationError or exit status 1 with one line that names the culprit."""
    parser = Parser("kube-proxy", "Serves Services' virtual addresses on this node by nftables.")
    parser.text("--config", help="KubeProxyConfiguration file; overrides all flags but --hostname-override")
    parser.text("--kubeconfig", help="kubeconfig of system:kube-proxy")
    parser.text("--hostname-override", help="name of this Node (default: the host's name)")
    parser.text("--proxy-mode", "nftables", help="only nftables is implemented")
    parser.network("--cluster-cidr", help="CIDR of Pods, one a family")
    parser.text("--detect-local-mode", "ClusterCIDR", choices=LOCAL_MODES, help="how Pods' traffic is told apart")
    parser.text("--pod-bridge-interface", help="bridge of Pods, for --detect-local-mode=BridgeInterface")
    parser.text("--pod-interface-name-prefix", help="prefix, for --detect-local-mode=InterfaceNamePrefix")
    parser.strings("--nodeport-addresses", help='CIDRs of addresses that serve node ports, or "primary"')
    parser.text("--healthz-bind-address", "0.0.0.0:10256", help="address and port; empty disables")
    parser.text("--metrics-bind-address", "127.0.0.1:10249", help="address and port; empty disables")
    parser.boolean("--masquerade-all", help="masquerade all traffic to cluster addresses")
    parser.number("--iptables-masquerade-bit", 14, help="bit of the packet mark, 0 to 31")
    parser.duration("--iptables-sync-period", 30.0, help="how often the table is looked after")
    parser.duration("--iptables-min-sync-period", 1.0, help="least time between two transactions")
    parser.boolean("--cleanup", help="remove the tables and exit")
    logs.add_flags(parser)
    flags = parser.parse_args(arguments)
    return _from_file(flags) if flags.config else _from_flags(flags)


def _from_flags(flags: argparse.Namespace) -> Configuration:
    return Configuration(
        kubeconfig=_required("--kubeconfig", flags.kubeconfig),
        node_name=_node_name(flags.hostname_override),
        healthz_address=_address("--healthz-bind-address", flags.healthz_bind_address, 10256),
        metrics_address=_address("--metrics-bind-address", flags.metrics_bind_address, 10249),
        cluster_cidrs=tuple(filter(None, flags.cluster_cidr.split(","))),
        local_mode=flags.detect_local_mode,
        bridge_interface=flags.pod_bridge_interface,
        interface_prefix=flags.pod_interface_name_prefix,
        node_port_addresses=_node_ports("--nodeport-addresses", flags.nodeport_addresses),
        masquerade_bit=_bit("--iptables-masquerade-bit", flags.iptables_masquerade_bit, _mode(flags.proxy_mode)),
        masquerade_all=flags.masquerade_all,
        sync_period=_period("--iptables-sync-period", flags.iptables_sync_period),
        min_sync_period=flags.iptables_min_sync_period,
        verbosity=flags.v,
        log_format=flags.logging_format,
        cleanup=flags.cleanup,
    )


def _from_file(flags: argparse.Namespace) -> Configuration:
    document = configurations.load(
        flags.config, kind="KubeProxyConfiguration", api_versions=("kubeproxy.config.k8s.io/v1alpha1",)
    )
    fields = configurations.Fields(flags.config, document)
    connection = fields.child("clientConnection")
    # Our client speaks JSON and needs no throttling: it only lists and watches.
    connection.ignore("acceptContentTypes", "contentType", "qps", "burst")
    nftables = fields.child("nftables")
    conntrack = fields.child("conntrack")
    conntrack.ignore("maxPerCore", "min", "tcpEstablishedTimeout", "tcpCloseWaitTimeout", "udpTimeout")
    conntrack.ignore("udpStreamTimeout")
    local = fields.child("detectLocal")
    logging = fields.child("logging")
    logging.ignore("flushFrequency", "vmodule", "options")
    # Other modes' settings, and what the service manager or the host's own sysctls decide here.
    fields.ignore("iptables", "ipvs", "winkernel", "featureGates", "oomScoreAdj", "portRange", "bindAddress")
    fields.ignore("bindAddressHardFail", "enableProfiling", "showHiddenMetricsForVersion", "configSyncPeriod")
    fields.ignore("windowsRunAsService")
    where = flags.config
    mode = _mode(fields.get("mode", str, ""), f"{where}.mode")
    local_mode = fields.get("detectLocalMode", str, "") or "ClusterCIDR"
    if local_mode not in LOCAL_MODES:
        raise ConfigurationError(f"{where}.detectLocalMode: want one of {', '.join(LOCAL_MODES)}, found {local_mode}")
    result = Configuration(
        kubeconfig=_required(
            f"{where}.clientConnection.kubeconfig", connection.get("kubeconfig", str, flags.kubeconfig)
        ),
        node_name=_node_name(flags.hostname_override or fields.get("hostnameOverride", str, "")),
        healthz_address=_address(
            f"{where}.healthzBindAddress", fields.get("healthzBindAddress", str, "0.0.0.0:10256"), 10256
        ),
        metrics_address=_address(
            f"{where}.metricsBindAddress", fields.get("metricsBindAddress", str, "127.0.0.1:10249"), 10249
        ),
        cluster_cidrs=_networks(f"{where}.clusterCIDR", fields.get("clusterCIDR", str, "").split(",")),
        local_mode=local_mode,
        bridge_interface=local.get("bridgeInterface", str, ""),
        interface_prefix=local.get("interfaceNamePrefix", str, ""),
        node_port_addresses=_node_ports(f"{where}.nodePortAddresses", fields.get("nodePortAddresses", list, [])),
        masquerade_bit=_bit(f"{where}.nftables.masqueradeBit", nftables.get("masqueradeBit", int, 14), mode),
        masquerade_all=nftables.get("masqueradeAll", bool, False),
        sync_period=_period(f"{where}.nftables.syncPeriod", nftables.seconds("syncPeriod", 0) or 30.0),
        min_sync_period=nftables.seconds("minSyncPeriod", 1.0),
        conntrack_liberal=conntrack.get("tcpBeLiberal", bool, False),
        verbosity=max(flags.v, logging.get("verbosity", int, 0)),
        log_format=logging.get("format", str, flags.logging_format),
        cleanup=flags.cleanup,
    )
    fields.close()
    return result


def _required(where: str, value: str) -> str:
    if not value:
        raise ConfigurationError(f"{where}: must be given")
    return value


def _node_name(value: str) -> str:
    return (value or socket.gethostname()).strip().lower()


def _mode(value: str, where: str = "--proxy-mode") -> str:
    if value not in {"", "nftables"}:
        raise ConfigurationError(f"{where}: only nftables is implemented, found {value}")
    return "nftables"


def _bit(where: str, value: int, _mode: str) -> int:
    if not 0 <= value <= 31:
        raise ConfigurationError(f"{where}: want 0 to 31, found {value}")
    return value


def _period(where: str, value: float) -> float:
    if value <= 0:
        raise ConfigurationError(f"{where}: must be greater than 0")
    return value


def _networks(where: str, values: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(value.strip())) for value in values if value.strip())
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _node_ports(where: str, values: Sequence[str]) -> tuple[str, ...] | None:
    """None, the node's own addresses, is also upstream's default in this mode."""
    if not values or list(values) == [PRIMARY]:
        return None
    if PRIMARY in values:
        raise ConfigurationError(f'{where}: "{PRIMARY}" must stand alone')
    return _networks(where, values)


def _address(where: str, value: str, port: int) -> tuple[str, int] | None:
    """(host, port) of "host:port", "[v6]:port" or a bare host; None where empty."""
    if not value:
        return None
    host, colon, number = value.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, number = value, str(port)
    try:
        found = str(ipaddress.ip_address(host.strip("[]")))
        if not 0 <= int(number) <= 65535:
            raise ValueError(f"port {number} is out of range")
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    return found, int(number)
