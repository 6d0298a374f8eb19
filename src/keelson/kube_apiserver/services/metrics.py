"""What is measured of the addresses and ports of Services, under upstream's names (service/ipallocator, portallocator).

Services are few: what is told when somebody asks is counted then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base import metrics

if TYPE_CHECKING:
    from .addresses import Addresses
    from .ports import Ports

STATIC, DYNAMIC = "static", "dynamic"
"""Whether a Service asked for this one, or for any."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ADDRESSES = metrics.counter(
    "kube_apiserver_clusterip_allocator_allocation_total", "Number of Cluster IPs allocations", ("cidr", "scope")
)
_ADDRESS_ERRORS = metrics.counter(
    "kube_apiserver_clusterip_allocator_allocation_errors_total",
    "Number of errors trying to allocate Cluster IPs",
    ("cidr", "scope"),
)
_ADDRESS_SECONDS = metrics.histogram(
    "kube_apiserver_clusterip_allocator_allocation_duration_seconds",
    "Duration in seconds to allocate a Cluster IP by ServiceCIDR",
    ("cidr",),
    buckets=_SECONDS,
)
_PORTS = metrics.counter(
    "kube_apiserver_nodeport_allocator_allocation_total", "Number of NodePort allocations", ("scope",)
)
_PORT_ERRORS = metrics.counter(
    "kube_apiserver_nodeport_allocator_allocation_errors_total",
    "Number of errors trying to allocate NodePort",
    ("scope",),
)


@contextmanager
def taking_address(cidr: str, scope: str) -> Iterator[None]:
    """An address is taken within; an error is counted as one."""
    began = perf_counter()
    try:
        yield
    except Exception:
        _ADDRESS_ERRORS.labels(cidr, scope).inc()
        raise
    finally:
        _ADDRESS_SECONDS.labels(cidr).observe(perf_counter() - began)
    _ADDRESSES.labels(cidr, scope).inc()


@contextmanager
def taking_port(scope: str) -> Iterator[None]:
    """A port is taken within; an error is counted as one."""
    try:
        yield
    except Exception:
        _PORT_ERRORS.labels(scope).inc()
        raise
    _PORTS.labels(scope).inc()


class Metrics(Collector):
    """How much of the flags' ranges is taken, which is known once a Service was given something."""

    def __init__(self, ranges: Sequence[Addresses], ports: Ports) -> None:
        self._ranges = ranges
        self._ports = ports

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        prefix = "kube_apiserver_clusterip_allocator"
        taken = GaugeMetricFamily(
            f"{prefix}_allocated_ips", "Gauge measuring the number of allocated IPs for Services", labels=("cidr",)
        )
        free = GaugeMetricFamily(
            f"{prefix}_available_ips", "Gauge measuring the number of available IPs for Services", labels=("cidr",)
        )
        for each in self._ranges:
            used, size = each.usage()
            if used is None:
                continue
            taken.add_metric((str(each.network),), used)
            free.add_metric((str(each.network),), size - used)
        yield from (taken, free)
        if self._ports.allocated is not None:
            prefix = "kube_apiserver_nodeport_allocator"
            yield GaugeMetricFamily(
                f"{prefix}_allocated_ports",
                "Gauge measuring the number of allocated NodePorts for Services",
                self._ports.allocated,
            )
            yield GaugeMetricFamily(
                f"{prefix}_available_ports",
                "Gauge measuring the number of available NodePorts for Services",
                self._ports.size - self._ports.allocated,
            )
