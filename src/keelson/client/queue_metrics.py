"""Metrics of work queues under upstream's names (component-base/metrics/prometheus/workqueue).

They are those of a queue that is worked on; several of one name are shown as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base import metrics
from keelson.component_base.histograms import Histogram

_SECONDS = tuple(10.0**power for power in range(-8, 2))
_LABELS = ("name",)


class Meter:
    """What is noted of one queue. `added` and `retried` count keys, as the queue does."""

    def __init__(self, name: str, clock: Callable[[], float] = monotonic) -> None:
        """`clock` tells seconds."""
        self.name = name
        self._clock = clock
        self.added = self.retried = 0
        # The seconds that keys have waited, and were worked on.
        self.waited, self.worked = Histogram(_SECONDS), Histogram(_SECONDS)
        # Since when keys wait, and are worked on.
        self.waiting: dict[str, float] = {}
        self.working: dict[str, float] = {}

    def began_waiting(self, key: str) -> None:
        """A key has entered the queue."""
        self.waiting[key] = self._clock()

    def began_working(self, key: str) -> None:
        """A worker has taken it."""
        now = self.working[key] = self._clock()
        self.waited.note(now - self.waiting.pop(key))

    def ended_working(self, key: str) -> None:
        """The worker is done with it."""
        began = self.working.pop(key, None)
        if began is not None:
            self.worked.note(self._clock() - began)

    def unfinished(self) -> list[float]:
        """For how many seconds each key is being worked on that still is."""
        now = self._clock()
        return [now - began for began in self.working.values()]

    @contextmanager
    def published(self) -> Iterator[None]:
        """Be shown while the context is open."""
        if not self.name:
            yield
            return
        _METERS.append(self)
        try:
            yield
        finally:
            _METERS.remove(self)


_METERS: list[Meter] = []


class _Queues(Collector):
    """The queues of this process."""

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        by_name: dict[str, list[Meter]] = {}
        for meter in _METERS:
            by_name.setdefault(meter.name, []).append(meter)
        if not by_name:
            return
        added = CounterMetricFamily("workqueue_adds", "Total number of adds handled by workqueue", labels=_LABELS)
        retried = CounterMetricFamily(
            "workqueue_retries", "Total number of retries handled by workqueue", labels=_LABELS
        )
        depth = GaugeMetricFamily("workqueue_depth", "Current depth of workqueue", labels=_LABELS)
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has done that is in progress and hasn't been observed by work_duration.",
            labels=_LABELS,
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running.",
            labels=_LABELS,
        )
        waited = HistogramMetricFamily(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            labels=_LABELS,
        )
        worked = HistogramMetricFamily(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            labels=_LABELS,
        )
        for name, meters in by_name.items():
            labels = (name,)
            added.add_metric(labels, sum(meter.added for meter in meters))
            retried.add_metric(labels, sum(meter.retried for meter in meters))
            depth.add_metric(labels, sum(len(meter.waiting) for meter in meters))
            under_way = [seconds for meter in meters for seconds in meter.unfinished()]
            unfinished.add_metric(labels, sum(under_way))
            longest.add_metric(labels, max(under_way, default=0.0))
            for family, chosen in (
                (waited, [meter.waited for meter in meters]),
                (worked, [meter.worked for meter in meters]),
            ):
                whole = Histogram(_SECONDS)
                for histogram in chosen:
                    whole.add(histogram.counts, histogram.summed)
                family.add_metric(labels, whole.buckets, whole.summed)
        yield from (added, retried, depth, unfinished, longest, waited, worked)


metrics.REGISTRY.register(_Queues())
