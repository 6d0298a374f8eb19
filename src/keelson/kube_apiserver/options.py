"""The flags of kube-apiserver: upstream's names, checked as a whole before anything is opened."""

from __future__ import annotations

import argparse
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization

from keelson.api import resources
from keelson.component_base import logs
from keelson.component_base.flags import Parser

from .admission.plugins import KNOWN, UNSUPPORTED
from .audit.backends import FORMATS
from .audit.backends import MODES as MODES_OF_AUDIT
from .authorization.configurations import MODES
from .registry import enablements

# Off unless asked for, as upstream's (KEP-4222); its storage half is what we read, never what we write.
CBOR_GATE = "CBORServingAndStorage"
_PEER_GATE = "UnknownVersionInteroperabilityProxy"


def parser() -> Parser:
    """All flags with their defaults."""
    found = Parser("kube-apiserver", "The Kubernetes API server.")
    # etcd
    found.strings("--etcd-servers", help="URLs of etcd's members")
    found.text("--etcd-cafile", help="CA of etcd's certificates")
    found.text("--etcd-certfile", help="client certificate for etcd")
    found.text("--etcd-keyfile", help="its key")
    found.text("--etcd-prefix", "/registry", help="prefix of all keys")
    found.duration("--etcd-compaction-interval", 300.0, help="how often history is compacted; 0 never")
    found.text("--storage-media-type", "application/json", help="accepted for upstream's sake; values are JSON")
    found.text("--encryption-provider-config", help="EncryptionConfiguration file")
    found.boolean("--encryption-provider-config-automatic-reload", False, help="read that file again when it changes")
    found.duration("--event-ttl", 3600.0, help="how long events are kept")
    # serving
    found.address("--bind-address", "0.0.0.0", help="address to listen on")  # noqa: S104 - upstream's default
    found.number("--secure-port", 6443, help="port to listen on")
    found.address("--advertise-address", help="address under which other members of the cluster reach this server")
    found.text("--tls-cert-file", help="serving certificate")
    found.text("--tls-private-key-file", help="its key")
    found.text("--external-hostname", help="name in externally visible URLs")
    found.boolean("--enable-priority-and-fairness", True, help="divide what is in flight by FlowSchemas")
    found.number("--max-requests-inflight", 400, help="requests in flight, reading ones without fairness; 0 no limit")
    found.number("--max-mutating-requests-inflight", 200, help="added to the former, or the limit of writing requests")
    found.duration("--request-timeout", 60.0, help="time for a request that is no watch")
    found.number("--min-request-timeout", 1800, help="least seconds before a watch is ended")
    found.duration("--shutdown-delay-duration", 0.0, help="time between SIGTERM and the end of serving")
    found.boolean("--shutdown-send-retry-after", False, help="tell those who come while requests finish to come back")
    found.duration("--shutdown-watch-termination-grace-period", 0.0, help="time over which watches end at the end")
    found.duration("--livez-grace-period", 0.0, help="time for the start, in which /livez does not mind it")
    found.boolean("--profiling", False, help="accepted for upstream's sake; there are no profiles")
    found.boolean("--allow-privileged", True, help="accepted for upstream's sake")
    # authentication
    found.text("--client-ca-file", help="CA of client certificates")
    found.boolean("--anonymous-auth", True, help="whether requests without credentials are anonymous")
    _add_external_authentication(found)
    found.boolean("--enable-bootstrap-token-auth", False, help="accept bootstrap tokens")
    found.strings("--service-account-issuer", help="issuers of service-account tokens, the first signs")
    found.strings("--service-account-key-file", help="public keys that verify service-account tokens")
    found.text("--service-account-signing-key-file", help="private key that signs service-account tokens")
    found.boolean("--service-account-lookup", True, help="whether the token's account and pod must still be there")
    found.strings("--api-audiences", help="audiences of tokens for this server")
    found.duration("--service-account-max-token-expiration", 0.0, help="longest life of a requested token")
    found.boolean("--service-account-extend-token-expiration", True, help="projected tokens live a year in fact")
    found.text("--service-account-jwks-uri", help="URI of the key set in discovery")
    found.text("--requestheader-client-ca-file", help="CA of front proxies")
    found.strings("--requestheader-allowed-names", help="common names of front proxies; empty allows all")
    found.strings("--requestheader-username-headers", help="headers with the user")
    found.strings("--requestheader-group-headers", help="headers with groups")
    found.strings("--requestheader-extra-headers-prefix", help="prefixes of extra headers")
    found.strings("--requestheader-uid-headers", help="headers with the uid")
    found.text("--proxy-client-cert-file", help="certificate shown to aggregated servers")
    found.text("--proxy-client-key-file", help="its key")
    found.text("--peer-ca-file", help="CA of other instances; with it, what only they serve is passed on to them")
    found.address("--peer-advertise-ip", help="address under which other instances reach this one")
    found.text("--peer-advertise-port", help="port for that address")
    # authorisation and admission
    found.strings("--authorization-mode", help=f"modes in order, AlwaysAllow without any: {','.join(MODES)}")
    found.text("--authorization-config", help="AuthorizationConfiguration file, in place of the other flags")
    found.text("--authorization-policy-file", help="policies of the mode ABAC, one a line")
    found.text("--authorization-webhook-config-file", help="kubeconfig of the server that the mode Webhook asks")
    found.text("--authorization-webhook-version", "v1beta1", choices=("v1", "v1beta1"), help="of SubjectAccessReview")
    found.duration("--authorization-webhook-cache-authorized-ttl", 300.0, help="how long what it allows is believed")
    found.duration("--authorization-webhook-cache-unauthorized-ttl", 30.0, help="how long its refusals are believed")
    found.strings("--enable-admission-plugins", help="plugins beside the default ones")
    found.strings("--disable-admission-plugins", help="default plugins to leave out")
    found.text("--admission-control-config-file", help="AdmissionConfiguration file")
    # cluster
    found.network("--service-cluster-ip-range", "10.0.0.0/24", help="CIDRs of ClusterIPs")
    found.text("--service-node-port-range", "30000-32767", help="range of node ports")
    found.text("--kubelet-certificate-authority", help="CA of kubelets' serving certificates")
    found.text("--kubelet-client-certificate", help="client certificate for kubelets")
    found.text("--kubelet-client-key", help="its key")
    found.strings(
        "--kubelet-preferred-address-types",
        ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"],
        help="order in which a node's addresses are tried",
    )
    found.duration("--kubelet-timeout", 5.0, help="time to connect to a kubelet")
    found.text("--endpoint-reconciler-type", "lease", choices=("lease", "none"), help="who keeps default/kubernetes")
    found.boolean("--enable-aggregator-routing", False, help="reach aggregated servers by endpoints")
    found.mapping("--feature-gates", help=f"features on or off: {CBOR_GATE} (off), {_PEER_GATE} (on)")
    found.mapping("--runtime-config", help="which built-in groups, versions and resources are served")
    found.text("--tracing-config-file", help="TracingConfiguration file; none is no tracing")
    _add_audit(found)
    logs.add_flags(found)
    return found


def _add_external_authentication(found: Parser) -> None:
    found.text("--authentication-config", help="AuthenticationConfiguration file")
    found.text("--oidc-issuer-url", help="issuer of ID tokens")
    found.text("--oidc-client-id", help="audience of ID tokens")
    found.text("--oidc-ca-file", help="CA of the issuer's serving certificate")
    found.text("--oidc-username-claim", "sub", help="claim with the user's name")
    found.text("--oidc-username-prefix", help="put before names; - for none")
    found.text("--oidc-groups-claim", help="claim with the user's groups")
    found.text("--oidc-groups-prefix", help="put before groups")
    found.strings("--oidc-signing-algs", ["RS256"], help="algorithms of signatures that are accepted")
    found.mapping("--oidc-required-claim", help="claims that must be there, with their values")
    found.text("--authentication-token-webhook-config-file", help="kubeconfig of the server that knows tokens")
    found.text("--authentication-token-webhook-version", "v1beta1", choices=("v1", "v1beta1"), help="of TokenReview")
    found.duration("--authentication-token-webhook-cache-ttl", 120.0, help="how long its answers are believed")


def _add_audit(found: Parser) -> None:
    found.text("--audit-policy-file", help="audit policy")
    found.text("--audit-log-path", help="audit log, - for standard output")
    found.number("--audit-log-maxage", 366, help="days that audit logs are kept; 0 for ever")
    found.number("--audit-log-maxbackup", 100, help="how many audit logs are kept; 0 all")
    found.number("--audit-log-maxsize", 100, help="megabytes of an audit log; 0 no limit")
    found.boolean("--audit-log-compress", False, help="compress audit logs that were turned over")
    found.text("--audit-log-format", "json", choices=FORMATS, help="json, or one line of text an event")
    found.text("--audit-log-mode", "blocking", choices=MODES_OF_AUDIT, help="whether requests wait for the log")
    found.text("--audit-log-version", "audit.k8s.io/v1", choices=("audit.k8s.io/v1",), help="version of events")
    found.text("--audit-webhook-config-file", help="kubeconfig of the server that takes audit events")
    found.text("--audit-webhook-mode", "batch", choices=("batch",), help="events are sent in batches")
    found.text("--audit-webhook-version", "audit.k8s.io/v1", choices=("audit.k8s.io/v1",), help="version of events")
    found.duration("--audit-webhook-initial-backoff", 10.0, help="time before a failed batch is sent again")
    for plugin, size, seconds, throttle in (("log", 1, 0.0, False), ("webhook", 400, 30.0, True)):
        flag = f"--audit-{plugin}-batch-"
        found.number(f"{flag}buffer-size", 10_000, help="how many events wait at most")
        found.number(f"{flag}max-size", size, help="how many events make a batch")
        found.duration(f"{flag}max-wait", seconds, help="how long a batch waits to be full")
        found.boolean(f"{flag}throttle-enable", throttle, help="limit batches a second")
        found.number(f"{flag}throttle-qps", 10, help="batches a second")
        found.number(f"{flag}throttle-burst", 15, help="batches at once")
        flag = f"--audit-{plugin}-truncate-"
        found.boolean(f"{flag}enabled", False, help="keep events and batches to a size")
        found.number(f"{flag}max-batch-size", 10 * 1024 * 1024, help="bytes of a batch, above which it is split")
        found.number(f"{flag}max-event-size", 100 * 1024, help="bytes of an event, above which it loses its objects")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The checked options; ends the process with one line that names the flag where one is wrong."""
    flags = parser()
    found = flags.parse_args(arguments)

    def refuse(flag: str, why: str) -> None:
        flags.error(f"argument {flag}: {why}")

    if not found.etcd_servers:
        refuse("--etcd-servers", "at least one URL is needed")
    for server in found.etcd_servers:
        if urlsplit(server).scheme not in ("http", "https") or not urlsplit(server).netloc:
            refuse("--etcd-servers", f'"{server}" is no http or https URL')
    if not found.etcd_prefix.startswith("/") or found.etcd_prefix.endswith("/"):
        refuse("--etcd-prefix", "must begin with a slash and not end with one")
    if bool(found.etcd_certfile) != bool(found.etcd_keyfile):
        refuse("--etcd-certfile", "goes together with --etcd-keyfile")
    if not 0 <= found.secure_port <= 65535:
        refuse("--secure-port", "must be between 0 and 65535")
    for flag in ("max_requests_inflight", "max_mutating_requests_inflight"):
        if getattr(found, flag) < 0:
            refuse(_flag(flag), "can not be negative value")
    if found.enable_priority_and_fairness and found.max_requests_inflight + found.max_mutating_requests_inflight < 1:
        refuse("--max-requests-inflight", "and --max-mutating-requests-inflight must add up to more than 0")
    if found.authorization_config and (found.authorization_mode or found.authorization_webhook_config_file):
        refuse("--authorization-config", "can not be used with --authorization-mode or --authorization-webhook-*")
    if len(set(found.authorization_mode)) != len(found.authorization_mode):
        refuse("--authorization-mode", "has a mode more than once")
    if found.authorization_webhook_config_file and "Webhook" not in found.authorization_mode:
        refuse("--authorization-webhook-config-file", "can not be used without the mode Webhook")
    for mode in found.authorization_mode:
        if mode not in MODES:
            refuse("--authorization-mode", f'"{mode}" is not one of {", ".join(MODES)}')
    for flag, names in (
        ("--enable-admission-plugins", found.enable_admission_plugins),
        ("--disable-admission-plugins", found.disable_admission_plugins),
    ):
        for name in names:
            if name not in KNOWN:
                refuse(flag, f'"{name}" is no admission plugin')
            if name in UNSUPPORTED and flag.startswith("--enable"):
                refuse(flag, f'"{name}" is not supported')
    for first, second in (
        ("tls_cert_file", "tls_private_key_file"),
        ("kubelet_client_certificate", "kubelet_client_key"),
        ("proxy_client_cert_file", "proxy_client_key_file"),
    ):
        if bool(getattr(found, first)) != bool(getattr(found, second)):
            refuse(_flag(first), f"goes together with {_flag(second)}")
    for plugin in ("log", "webhook"):
        event = getattr(found, f"audit_{plugin}_truncate_max_event_size")
        if event <= 0:
            refuse(f"--audit-{plugin}-truncate-max-event-size", f"{event}, must be a positive number")
        if getattr(found, f"audit_{plugin}_truncate_max_batch_size") < event:
            refuse(
                f"--audit-{plugin}-truncate-max-batch-size", f"must not be smaller than the max event size ({event})"
            )
    low, dash, high = found.service_node_port_range.partition("-")
    if not dash or not low.isdecimal() or not high.isdecimal() or not 0 < int(low) <= int(high) <= 65535:
        refuse("--service-node-port-range", f'"{found.service_node_port_range}" is no range of ports')
    ranges = [ipaddress.ip_network(text) for text in found.service_cluster_ip_range.split(",")]
    if len(ranges) > 2 or (len(ranges) == 2 and ranges[0].version == ranges[1].version):
        refuse("--service-cluster-ip-range", "takes one CIDR, or one of each family")
    for network in ranges:
        if network.max_prefixlen - network.prefixlen > (20 if network.version == 4 else 64):
            refuse("--service-cluster-ip-range", f"{network} is too large: at most 20 bits (64 for IPv6) of addresses")
    _check_peers(found, refuse)
    if found.authentication_config and found.oidc_issuer_url:
        refuse("--authentication-config", "can not be used with --oidc-* flags")
    if bool(found.service_account_issuer) != bool(found.service_account_signing_key_file):
        refuse("--service-account-issuer", "goes together with --service-account-signing-key-file")
    if found.service_account_issuer and not found.service_account_key_file:
        refuse("--service-account-key-file", "is needed where service-account tokens are issued")
    try:
        enablements.disabled(found.runtime_config, resources.BUILT_IN)
    except ValueError as error:
        refuse("--runtime-config", str(error))
    _check_files(found, refuse)
    return found


def _check_peers(found: argparse.Namespace, refuse: Callable[[str, str], None]) -> None:
    port = found.peer_advertise_port
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        refuse("--peer-advertise-port", f'"{port}" is no port')
    if _is_off(found, _PEER_GATE):
        for name in ("peer_ca_file", "peer_advertise_ip", "peer_advertise_port"):
            if getattr(found, name):
                refuse(_flag(name), f"requires {_PEER_GATE} feature to be turned on")
    if found.peer_ca_file and not found.proxy_client_cert_file:
        refuse("--peer-ca-file", "error building peer proxy handler, proxy-cert-file not specified")


def is_on(found: argparse.Namespace, gate: str) -> bool:
    """Whether a feature that is off by default was asked for."""
    return str(found.feature_gates.get(gate, "false")).lower() == "true"


def features(found: argparse.Namespace) -> dict[tuple[str, str], bool]:
    """Which of the features that --feature-gates knows are on, by name and stage."""
    return {(CBOR_GATE, "ALPHA"): is_on(found, CBOR_GATE), (_PEER_GATE, "BETA"): not _is_off(found, _PEER_GATE)}


def _is_off(found: argparse.Namespace, gate: str) -> bool:
    return str(found.feature_gates.get(gate, "true")).lower() == "false"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_files(found: argparse.Namespace, refuse: Callable[[str, str], None]) -> None:
    names = [
        name
        for name in vars(found)
        if name.endswith(("_file", "cafile", "certfile", "keyfile"))
        or name in ("kubelet_certificate_authority", "kubelet_client_certificate", "kubelet_client_key")
        or name == "encryption_provider_config"
    ]
    for name in names:
        given = getattr(found, name)
        for path in given if isinstance(given, list) else [given]:
            if not path:
                continue
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                refuse(_flag(name), f"{path}: {error.strerror}")
            if name.endswith(("cafile", "ca_file")) or name == "kubelet_certificate_authority":
                try:
                    ssl.create_default_context(cadata=content.decode("ascii"))
                except (ssl.SSLError, UnicodeDecodeError):
                    refuse(_flag(name), f"{path}: holds no certificates in PEM")
    if found.service_account_signing_key_file:
        path = found.service_account_signing_key_file
        try:
            serialization.load_pem_private_key(Path(path).read_bytes(), None)
        except (ValueError, TypeError) as error:
            refuse("--service-account-signing-key-file", f"{path}: {error}")
