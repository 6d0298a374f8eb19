"""The kube-controller-manager daemon: flags, leader election, and the controllers of the leader."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from pathlib import Path

from keelson.client import kubeconfigs, leaderships
from keelson.client.events import Recorder
from keelson.client.informers import Factory
from keelson.client.rest import Client
from keelson.component_base import daemons, flags, logs, serving
from keelson.component_base.daemons import FatalError

from .accounts import AccountClients
from .contexts import Context, Controller, Settings
from .controllers import registry

log = logging.getLogger("keelson.kube_controller_manager")
_AGENT = "kube-controller-manager"

Chosen = Sequence[type[Controller]]


def parser() -> flags.Parser:
    """The daemon's flags, under upstream's names."""
    result = flags.Parser(_AGENT, "Runs the controllers that make the cluster what its objects say.")
    result.text("--kubeconfig", help="file with the API server's address and credentials")
    result.text("--authentication-kubeconfig", help="accepted; /metrics is shown to whom --client-ca-file trusts")
    result.text("--authorization-kubeconfig", help="accepted, as above")
    serving.add_flags(result, 10257)
    result.text("--requestheader-client-ca-file", help="accepted; no proxy stands in front of this server")
    leaderships.add_flags(result, _AGENT)
    result.strings("--controllers", ("*",), help=f"controllers to run: * for all, name, -name; {registry.names()}")
    result.boolean("--allocate-node-cidrs", False, help="give each node a pod network")
    result.network("--cluster-cidr", help="the pods' network, from which the nodes' are cut")
    result.network("--service-cluster-ip-range", help="the services' network")
    result.number("--node-cidr-mask-size", 0, help="prefix length of a node's pod network (default 24, IPv6 64)")
    result.text("--cluster-name", "kubernetes", help="accepted; names cloud resources")
    result.text("--cluster-signing-cert-file", help="CA that signs approved requests")
    result.text("--cluster-signing-key-file", help="its key")
    result.duration("--cluster-signing-duration", 365 * 86400.0, help="longest validity of a signed certificate")
    result.text("--root-ca-file", help="CA published in every namespace and in token secrets")
    result.text("--service-account-private-key-file", help="key that signs service account tokens")
    result.boolean("--use-service-account-credentials", False, help="each controller writes as its own account")
    result.duration("--node-monitor-period", 5, help="how often nodes are looked at")
    result.duration("--node-monitor-grace-period", 50, help="silence after which a node is not ready")
    result.number("--terminated-pod-gc-threshold", 12500, help="finished pods that are kept")
    result.duration("--resource-quota-sync-period", 300, help="how often all quotas are counted anew")
    autoscaling = "--horizontal-pod-autoscaler"
    result.duration(f"{autoscaling}-sync-period", 15, help="how often replicas are reckoned anew")
    result.duration(f"{autoscaling}-downscale-stabilization", 300, help="how long the highest reckoning counts")
    result.text(f"{autoscaling}-tolerance", "0.1", help="share by which usage may differ from its target")
    result.duration(f"{autoscaling}-cpu-initialization-period", 300, help="how long a new pod's CPU says nothing")
    result.duration(f"{autoscaling}-initial-readiness-delay", 30, help="how long the first readiness may take")
    result.boolean("--profiling", False, help="accepted; there is no profiling endpoint")
    logs.add_flags(result)
    return result


def settings_of(options: argparse.Namespace) -> Settings:
    """The controllers' settings; FatalError names the flag that can't be used."""
    networks = tuple(ipaddress.ip_network(part) for part in options.cluster_cidr.split(",") if part)
    if options.allocate_node_cidrs and not networks:
        raise FatalError("--cluster-cidr: --allocate-node-cidrs needs it")
    sizes = tuple(options.node_cidr_mask_size or (24 if net.version == 4 else 64) for net in networks)
    for net, size in zip(networks, sizes, strict=True):
        if not net.prefixlen <= size <= net.max_prefixlen:
            raise FatalError(f"--node-cidr-mask-size: {size} does not fit into --cluster-cidr {net}")
    return Settings(
        allocate_node_cidrs=options.allocate_node_cidrs,
        cluster_cidrs=networks,
        node_cidr_mask_sizes=sizes,
        cluster_signing_certificate=_read("--cluster-signing-cert-file", options.cluster_signing_cert_file),
        cluster_signing_key=_read("--cluster-signing-key-file", options.cluster_signing_key_file),
        cluster_signing_duration=options.cluster_signing_duration,
        root_ca=_read("--root-ca-file", options.root_ca_file).decode(),
        service_account_key=_read("--service-account-private-key-file", options.service_account_private_key_file),
        node_monitor_period=options.node_monitor_period,
        node_monitor_grace_period=options.node_monitor_grace_period,
        terminated_pod_gc_threshold=options.terminated_pod_gc_threshold,
        resource_quota_sync_period=options.resource_quota_sync_period,
        horizontal_pod_autoscaler_sync_period=options.horizontal_pod_autoscaler_sync_period,
        horizontal_pod_autoscaler_downscale_stabilization=options.horizontal_pod_autoscaler_downscale_stabilization,
        horizontal_pod_autoscaler_tolerance=_share(
            "--horizontal-pod-autoscaler-tolerance", options.horizontal_pod_autoscaler_tolerance
        ),
        horizontal_pod_autoscaler_cpu_initialization_period=options.horizontal_pod_autoscaler_cpu_initialization_period,
        horizontal_pod_autoscaler_initial_readiness_delay=options.horizontal_pod_autoscaler_initial_readiness_delay,
    )


def _share(flag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise FatalError(f'{flag}: "{text}" is no number') from error
    if not 0 <= value < 1:
        raise FatalError(f"{flag}: {text} is not between 0 and 1")
    return value


def _read(flag: str, path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FatalError(f"{flag}: {path}: {error.strerror}") from error


async def control(client: Client, accounts: AccountClients | None, chosen: Chosen, settings: Settings) -> None:
    """Run these controllers over shared informers until cancelled; each writes as its account where there are such."""
    informers = Factory(client)
    recorders: dict[str, Recorder] = {}
    running: list[Controller] = []
    for make in chosen:
        writer = client if accounts is None or not make.account else await accounts.client(make.account)

        def recorder(component: str, writer: Client = writer) -> Recorder:
            return recorders.setdefault(component, Recorder(writer, component=component))

        running.append(make(Context(client=writer, informers=informers, recorder=recorder, settings=settings)))
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        if accounts is not None:
            group.create_task(accounts.run())
        for one in recorders.values():
            group.create_task(one.run())
        await informers.synced()
        log.info("caches are synced; controllers start: %s", ", ".join(found.name for found in running))
        for controller in running:
            group.create_task(controller.run())


async def run(options: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serve health and metrics, and control while leading; FatalError names the flag that can't be used."""
    settings = settings_of(options)
    try:
        chosen = registry.chosen(options.controllers, settings)
        config = kubeconfigs.load(options.kubeconfig) if options.kubeconfig else kubeconfigs.in_cluster()
    except (ValueError, kubeconfigs.KubeconfigError) as error:
        raise FatalError(str(error)) from error

    async def lead(client: Client) -> None:
        if not options.use_service_account_credentials:
            await control(client, None, chosen, settings)
            return
        async with AccountClients(client, config, agent=_AGENT) as accounts:
            await control(client, accounts, chosen, settings)

    await leaderships.serve(options, config, stop, lead, agent=_AGENT)


def main() -> None:
    """Entry point."""
    options = parser().parse_args()
    logs.setup(options.v, options.logging_format)
    daemons.run(lambda stop: run(options, stop))


if __name__ == "__main__":
    main()
