"""The process's metrics: one registry, upstream's names, Prometheus' text on /metrics."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_NETSTAT = Path("/proc/self/net/netstat")


class _Process(Collector):
    """What upstream's collector tells of a process and the library's does not."""

    def collect(self) -> Iterable[Metric]:
        """What the kernel says now; of the network, what it counts in the process's namespace (proc(5))."""
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        yield GaugeMetricFamily(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            float(2**64 if limit == resource.RLIM_INFINITY else limit),
        )
        lines = [line.split() for line in _NETSTAT.read_text().splitlines() if line.startswith("IpExt:")]
        counted = dict(zip(*lines, strict=True))
        for name, done, field in (("receive", "received", "InOctets"), ("transmit", "transmitted", "OutOctets")):
            yield CounterMetricFamily(
                f"process_network_{name}_bytes",
                f"Number of bytes {done} by the process over the network.",
                float(counted[field]),
            )


REGISTRY = CollectorRegistry()
# Series of the moments in which others were made double the number of series; upstream has none.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
REGISTRY.register(_Process())

# Counters that upstream named without "_total", which the library would append: they are gauges to it.
_UNSUFFIXED: set[str] = set()

# What service levels are judged by, served apart (KEP-3466).
INDICATORS = CollectorRegistry()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def counter(name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
    """A counter; Prometheus appends `_total` where the name lacks it."""
    return Counter(name, help_, labels, registry=REGISTRY)


def unsuffixed(name: str) -> str:
    """The name of a counter that does not end with `_total`: make a gauge of it, and it is served as a counter."""
    _UNSUFFIXED.add(name)
    return name


def gauge(name: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge."""
    return Gauge(name, help_, labels, registry=REGISTRY)


def histogram(name: str, help_: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
    """A histogram with upper bounds `buckets`, in the unit that the name ends with."""
    return Histogram(name, help_, labels, registry=REGISTRY, buckets=tuple(buckets))


def render(registry: CollectorRegistry = REGISTRY) -> bytes:
    """All metrics in the text exposition format."""
    text = generate_latest(registry)
    for name in _UNSUFFIXED:
        text = text.replace(f"# TYPE {name} gauge\n".encode(), f"# TYPE {name} counter\n".encode())
    return text
