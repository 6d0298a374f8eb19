"""The daemon kube-proxy: flags, client, informers, proxier, health and metrics."""

from __future__ import annotations

import asyncio
import sys

from keelson.client import kubeconfigs
from keelson.client.informers import Informer
from keelson.client.rest import Client
from keelson.component_base import daemons, logs, nftables
from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError

from . import configurations, health_servers, tables
from .configurations import Configuration
from .decisions import service_ports
from .proxiers import BY_SERVICE, Proxier, slice_service, slim


def main() -> None:
    """Entry point."""
    try:
        configuration = configurations.parse(sys.argv[1:])
    except ConfigurationError as error:
        sys.stderr.write(f"kube-proxy: {error}\n")
        sys.exit(1)
    logs.setup(configuration.verbosity, configuration.log_format)

    async def run(stop: asyncio.Event) -> None:
        if configuration.cleanup:
            await _clean_up()
        else:
            await serve(configuration, stop)

    daemons.run(run)


async def _clean_up() -> None:
    try:
        for family in (service_ports.IPV4, service_ports.IPV6):
            await tables.remove(family)
    except nftables.NftError as error:
        raise FatalError(str(error)) from error


async def serve(configuration: Configuration, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. FatalError where the daemon can't begin."""
    try:
        access = kubeconfigs.load(configuration.kubeconfig)
    except kubeconfigs.KubeconfigError as error:
        raise FatalError(str(error)) from error
    async with Client(access, user_agent="kube-proxy/keelson") as client:
        others = f"!{service_ports.HEADLESS},!{service_ports.PROXY_NAME}"
        services = Informer(client, "services", label_selector=others, transform=slim)
        slices = Informer(
            client,
            "endpointslices.discovery.k8s.io",
            label_selector=others,
            transform=slim,
            indexers={BY_SERVICE: slice_service},
        )
        nodes = Informer(client, "nodes", field_selector=f"metadata.name={configuration.node_name}")
        proxier = Proxier(configuration, services=services, slices=slices, nodes=nodes)
        node_ports = health_servers.NodePorts(proxier, services)
        health = health_servers.health_application(proxier, nodes, 2 * configuration.sync_period)
        async with (
            health_servers.listening(health, configuration.healthz_address, "healthz address"),
            health_servers.listening(
                health_servers.metrics_application(), configuration.metrics_address, "metrics address"
            ),
        ):
            await daemons.until_stopped(
                stop,
                services.run(),
                slices.run(),
                nodes.run(),
                proxier.run(),
                node_ports.run(),
                daemons.ready_after(proxier.synced_once),
            )


if __name__ == "__main__":
    main()
