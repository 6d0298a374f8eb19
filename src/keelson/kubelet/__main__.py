"""`kubelet`: flags as upstream spells them, then the daemon."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from pathlib import Path

from keelson.component_base import daemons, flags, logs
from keelson.component_base.configurations import ConfigurationError

from . import configurations
from .kubelets import Kubelet, Options, version

log = logging.getLogger(__name__)


def _parser() -> flags.Parser:
    parser = flags.Parser("kubelet", "Runs the pods that are bound to this node.")
    parser.text("--config", help="a KubeletConfiguration (kubelet.config.k8s.io/v1beta1)")
    parser.text("--kubeconfig", default="/etc/kubernetes/kubelet.conf", help="how to reach the API server")
    parser.text("--bootstrap-kubeconfig", help="how to ask for a first certificate where --kubeconfig does not exist")
    parser.text("--hostname-override", help="the node's name; else the host's")
    parser.text("--node-ip", help="the node's address, or two of different families")
    parser.text("--container-runtime-endpoint", help="the CRI endpoint, as unix:///run/containerd/containerd.sock")
    parser.text("--cert-dir", default="/var/lib/kubelet/pki", help="where certificates obtained by requests lie")
    parser.text("--root-dir", default="/var/lib/kubelet", help="where pods' folders lie")
    parser.text("--pod-log-dir", default="/var/log/pods", help="where containers' logs lie")
    parser.mapping("--node-labels", help="labels that the node registers with")
    parser.strings("--register-with-taints", help="taints that the node registers with: key=value:Effect")
    parser.add_argument("--version", action="version", version=f"Kubernetes {version()}")
    logs.add_flags(parser)
    return parser


def _taint(text: str) -> dict[str, str]:
    head, colon, effect = text.rpartition(":")
    if not colon or effect not in {"NoSchedule", "PreferNoSchedule", "NoExecute"}:
        raise daemons.FatalError(f'--register-with-taints: "{text}" is not of the form key=value:Effect')
    key, _, value = head.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}


def main(arguments: list[str] | None = None) -> None:
    """The program."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logs.setup(given.v, given.logging_format)
    # gRPC's own debug entries tell of every wake-up of its poller.
    logging.getLogger("grpc").setLevel(logging.WARNING)

    async def run(stop: asyncio.Event) -> None:
        try:
            configuration = configurations.read(given.config) if given.config else configurations.KubeletConfiguration()
        except ConfigurationError as error:
            raise daemons.FatalError(str(error)) from error
        if given.container_runtime_endpoint:
            configuration = dataclasses.replace(
                configuration, container_runtime_endpoint=given.container_runtime_endpoint
            )
        if given.register_with_taints:
            taints = tuple(_taint(text) for text in given.register_with_taints)
            configuration = dataclasses.replace(configuration, register_with_taints=taints)
        options = Options(
            node=(given.hostname_override or socket.gethostname()).lower(),
            kubeconfig=given.kubeconfig,
            bootstrap_kubeconfig=given.bootstrap_kubeconfig,
            node_ips=tuple(part for part in given.node_ip.split(",") if part),
            cert_dir=Path(given.cert_dir),
            root_dir=Path(given.root_dir),
            log_dir=Path(given.pod_log_dir),
            labels=tuple(given.node_labels.items()),
        )
        log.info("kubelet %s on node %s", version(), options.node)
        await Kubelet(options, configuration).run(stop)

    daemons.run(run)


if __name__ == "__main__":
    main()
