"""What is measured of the caches and of those who watch them, under upstream's names."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram

from .registry.catalogues import Catalogue
from .registry.representations import EVENT_BYTES

_VERSIONED = ("group", "version", "resource")


class Metrics(Collector):
    """The metrics of the caches of one server."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        yield from self._cached()
        yield from self._watched()

    def _cached(self) -> Iterable[Metric]:
        """What the caches hold, of every resource that has one."""
        labels = ("group", "resource")
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        counted = GaugeMetricFamily(
            "apiserver_resource_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=labels,
        )
        received = [
            CounterMetricFamily(name, help_, labels=labels)
            for name, help_ in (
                ("apiserver_storage_events_received", "Number of etcd events received split by kind."),
                (
                    "apiserver_watch_cache_events_received",
                    "Counter of events received in watch cache broken by resource type.",
                ),
                (
                    # They are told in the turn of the loop in which they come.
                    "apiserver_watch_cache_events_dispatched",
                    "Counter of events dispatched in watch cache broken by resource type.",
                ),
            )
        ]
        revisions = GaugeMetricFamily(
            "apiserver_watch_cache_resource_version",
            "Current resource version of watch cache broken by resource type. This is truncated to the 15 least "
            "significant digits.",
            labels=labels,
        )
        loads = CounterMetricFamily(
            "apiserver_watch_cache_initializations",
            "Counter of watch cache initializations broken by resource type.",
            labels=labels,
        )
        sizes = GaugeMetricFamily(
            "apiserver_resource_size_estimate_bytes",
            "Estimated size of stored objects in database. Estimate is based on sum of last observed sizes of "
            "serialized objects.",
            labels=labels,
        )
        indexed = ("group", "index", "resource")
        lists = CounterMetricFamily(
            "apiserver_cache_list", "Number of LIST requests served from watch cache", labels=indexed
        )
        fetched = CounterMetricFamily(
            "apiserver_cache_list_fetched_objects",
            "Number of objects read from watch cache in the course of serving a LIST request",
            labels=indexed,
        )
        returned = CounterMetricFamily(
            "apiserver_cache_list_returned_objects",
            "Number of objects returned for a LIST request from watch cache",
            labels=labels,
        )
        seen: set[int] = set()
        for served in self._catalogue:
            if not served.is_stored:
                continue
            collection = self._catalogue.collection(served)
            if id(collection) in seen or not collection.last_change:
                continue
            seen.add(id(collection))
            resource = served.resource
            named = (resource.group, resource.plural)
            objects.add_metric((resource.qualified,), len(collection))
            counted.add_metric(named, len(collection))
            for family in received:
                family.add_metric(named, collection.received)
            revisions.add_metric(named, collection.last_change % 10**15)
            loads.add_metric(named, collection.loads)
            sizes.add_metric(named, sum(len(item.body) for item in collection.items.values()))
            # No index helps a list: names and namespaces are found by the order of keys.
            lists.add_metric((resource.group, "", resource.plural), collection.lists)
            fetched.add_metric((resource.group, "", resource.plural), collection.fetched)
            returned.add_metric(named, collection.returned)
        return (objects, counted, *received, revisions, loads, sizes, lists, fetched, returned)

    def _watched(self) -> Iterable[Metric]:
        """What was sent to those who watch, by the version in which they do."""
        events = CounterMetricFamily(
            "apiserver_watch_events", "Number of events sent in watch clients", labels=_VERSIONED
        )
        sizes = HistogramMetricFamily(
            "apiserver_watch_events_sizes", "Watch event size distribution in bytes", labels=_VERSIONED
        )
        lists = HistogramMetricFamily(
            "apiserver_watch_list_duration_seconds",
            "Response latency distribution in seconds for watch list requests broken by group, version, resource and "
            "scope.",
            labels=(*_VERSIONED, "scope"),
        )
        for served in self._catalogue:
            resource = served.resource
            labels = (resource.group, resource.version, resource.plural)
            whole = Histogram(EVENT_BYTES)
            for frames in list(served.frames.values()):
                whole.add(frames.sizes.counts, frames.sizes.summed)
            if any(whole.counts):
                events.add_metric(labels, sum(whole.counts))
                sizes.add_metric(labels, whole.buckets, whole.summed)
            for scope, seconds in served.watch_lists.items():
                lists.add_metric((*labels, scope), seconds.buckets, seconds.summed)
        return (events, sizes, lists)
