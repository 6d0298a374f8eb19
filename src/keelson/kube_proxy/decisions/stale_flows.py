"""Which of the kernel's tracked UDP flows lead to an endpoint that serves no longer.

UDP has no end of connection: a client that goes on sending keeps its flow, and with it the translation that was chosen
first, alive for ever. TCP flows end by themselves when their endpoint is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .service_ports import NodeView, ServicePort, Target


class Flow(NamedTuple):
    """One tracked flow: where it was sent to and who answers. `handle` is the driver's, to delete it by."""

    destination: Target
    answers: Target
    handle: bytes


def stale(flows: Iterable[Flow], ports: Iterable[ServicePort], node: NodeView) -> list[Flow]:
    """The flows to a Service's address whose answering side is none of its endpoints now."""
    serving: dict[Target, set[Target]] = {}
    for port in ports:
        if port.protocol != "udp":
            continue
        endpoints = {*port.cluster_endpoints, *port.local_endpoints}
        addresses = [(address, port.port) for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips)]
        if port.node_port:
            addresses += [(address, port.node_port) for address in node.addresses]
        for address in addresses:
            serving.setdefault(address, set()).update(endpoints)
    return [flow for flow in flows if flow.answers not in serving.get(flow.destination, {flow.answers})]


def signature(ports: Iterable[ServicePort]) -> dict[tuple[str, ...], frozenset[Target]]:
    """The endpoints of UDP ports, by port: flows need a look only where this changes."""
    return {
        (port.family, port.namespace, port.name, port.port_name): frozenset(
            (*port.cluster_endpoints, *port.local_endpoints)
        )
        for port in ports
        if port.protocol == "udp"
    }
