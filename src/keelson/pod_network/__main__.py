"""The daemon pod-network: flags, client, one informer of Nodes, the network."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from keelson.client import kubeconfigs
from keelson.client.informers import Informer
from keelson.client.rest import Client
from keelson.component_base import daemons, logs
from keelson.component_base.daemons import FatalError
from keelson.component_base.flags import Parser

from .networks import Network, slim


def main() -> None:
    """Entry point."""
    parser = Parser("pod-network", "Gives this node's pods their network and the routes to other nodes' pods.")
    parser.text("--kubeconfig", required=True, help="kubeconfig of a user that may list and watch Nodes")
    parser.text("--node-name", help="name of this Node (default: the host's name)")
    parser.text("--cni-conf-dir", "/etc/cni/net.d", help="where the CNI configuration is written")
    parser.network("--cluster-cidr", help="CIDR of all Pods, one a family: not masqueraded beside the Nodes' own")
    parser.number("--mtu", 0, help="MTU of pods' interfaces; 0 takes that of the node's")
    logs.add_flags(parser)
    flags = parser.parse_args()
    if flags.mtu and not 576 <= flags.mtu <= 65535:
        parser.error(f"argument --mtu: want 0 or 576 to 65535, found {flags.mtu}")
    logs.setup(flags.v, flags.logging_format)

    async def run(stop: asyncio.Event) -> None:
        try:
            access = kubeconfigs.load(flags.kubeconfig)
        except kubeconfigs.KubeconfigError as error:
            raise FatalError(str(error)) from error
        async with Client(access, user_agent="pod-network/keelson") as client:
            nodes = Informer(client, "nodes", transform=slim)
            network = Network(
                nodes,
                node_name=(flags.node_name or socket.gethostname()).strip().lower(),
                cni_folder=Path(flags.cni_conf_dir),
                mtu=flags.mtu,
                cluster_cidrs=tuple(filter(None, flags.cluster_cidr.split(","))),
            )
            await daemons.until_stopped(stop, nodes.run(), network.run(), daemons.ready_after(network.established))

    daemons.run(run)


if __name__ == "__main__":
    main()
