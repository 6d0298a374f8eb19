"""What is measured of the store, under upstream's names (etcd_*, apiserver_storage_*), and the spans of its calls.

The server asks the store through a `Measured` one. Which resource a call is about is told by its key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram
from keelson.storage.errors import KeyExistsError, RevisionConflictError, StorageError
from keelson.storage.stores import Found, Page, Store, Watch

from .series import Series
from .tracing import spans

_SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
_LABELS = ("operation", "group", "resource")
# The one etcd that there is, as upstream numbers its.
_CLUSTER = "etcd-0"

T = TypeVar("T")


class _Meter:
    """The calls of one operation on one resource."""

    __slots__ = ("errors", "fetched", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(_SECONDS)
        self.errors = 0
        # How many entries lists have read.
        self.fetched = 0


class Measured:
    """A `stores.Store` that counts and traces the calls of another.

    `resource_of` tells whose objects lie at a key, by `resources.lookup`'s names; "" is nobody's. `is_stored`
    tells whether there is still such a resource.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.resource_of: Callable[[str], str] = lambda _key: ""
        self.is_stored: Callable[[str], bool] = lambda _resource: True
        self.meters = Series[tuple[str, str], _Meter](lambda _name: _Meter(), lambda name: self.is_stored(name[1]))
        # Bytes, as the store said last; None where it never did.
        self.told_size: int | None = None

    def _meter(self, operation: str, key: str) -> _Meter:
        return self.meters[operation, self.resource_of(key)]

    async def _timed(self, operation: str, key: str, call: Awaitable[T]) -> T:
        began = perf_counter()
        failed = 0
        try:
            return await call
        except (KeyExistsError, RevisionConflictError):
            # The store has answered: it is the caller who has lost.
            raise
        except StorageError:
            failed = 1
            raise
        finally:
            meter = self._meter(operation, key)
            meter.seconds.note(perf_counter() - began)
            meter.errors += failed

    async def get(self, key: str) -> Found:
        """As the port has it."""
        return await self._timed("get", key, self._store.get(key))

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        """As the port has it."""
        about: spans.Attributes = {"key": prefix, "limit": limit, "resourceVersion": str(revision) if revision else ""}
        with spans.child("List(recursive=true) etcd3", about):
            call = self._store.list(prefix, limit=limit, start=start, revision=revision)
            page = await self._timed("list", prefix, call)
        self._meter("list", prefix).fetched += len(page.entries)
        return page

    async def create(self, key: str, value: bytes, *, ttl: int = 0) -> int:
        """As the port has it."""
        with spans.child("Create etcd3", {"key": key}):
            return await self._timed("create", key, self._store.create(key, value, ttl=ttl))

    async def update(self, key: str, value: bytes, *, expected: int, ttl: int = 0) -> int:
        """As the port has it."""
        with spans.child("GuaranteedUpdate etcd3", {"key": key}):
            return await self._timed("update", key, self._store.update(key, value, expected=expected, ttl=ttl))

    async def delete(self, key: str, *, expected: int) -> int:
        """As the port has it."""
        with spans.child("Delete etcd3", {"key": key}):
            return await self._timed("delete", key, self._store.delete(key, expected=expected))

    async def watch(self, prefix: str, *, after: int) -> Watch:
        """As the port has it."""
        return await self._store.watch(prefix, after=after)

    async def revision(self) -> int:
        """As the port has it."""
        return await self._store.revision()

    async def compact(self, revision: int) -> None:
        """As the port has it."""
        await self._store.compact(revision)

    async def size(self) -> int:
        """As the port has it."""
        self.told_size = await self._store.size()
        return self.told_size

    async def close(self) -> None:
        """As the port has it."""
        await self._store.close()


def labels_of(qualified: str) -> tuple[str, str]:
    """Group and resource of a qualified name."""
    resource, _, group = qualified.partition(".")
    return group, resource


class Metrics(Collector):
    """The metrics of a measured store."""

    def __init__(self, store: Measured) -> None:
        self._store = store

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        durations = HistogramMetricFamily(
            "etcd_request_duration_seconds",
            "Etcd request latency in seconds for each operation and object type.",
            labels=_LABELS,
        )
        requests = CounterMetricFamily(
            "etcd_requests", "Etcd request counts for each operation and object type.", labels=_LABELS
        )
        failures = CounterMetricFamily(
            "etcd_request_errors", "Etcd failed request counts for each operation and object type.", labels=_LABELS
        )
        lists = [
            CounterMetricFamily(f"apiserver_storage_list{name}", help_, labels=_LABELS[1:])
            for name, help_ in (
                ("", "Number of LIST requests served from storage"),
                ("_fetched_objects", "Number of objects read from storage in the course of serving a LIST request"),
            )
        ]
        for (operation, qualified), meter in sorted(self._store.meters.items()):
            labels = labels_of(qualified)
            seconds = meter.seconds
            durations.add_metric((operation, *labels), seconds.buckets, seconds.summed)
            requests.add_metric((operation, *labels), sum(seconds.counts))
            if meter.errors:
                failures.add_metric((operation, *labels), meter.errors)
            if operation == "list":
                lists[0].add_metric(labels, sum(seconds.counts))
                lists[1].add_metric(labels, meter.fetched)
        yield from (durations, requests, failures, *lists)
        if self._store.told_size is not None:
            size = GaugeMetricFamily(
                "apiserver_storage_size_bytes",
                "Size of the storage database file physically allocated in bytes.",
                labels=("storage_cluster_id",),
            )
            size.add_metric((_CLUSTER,), self._store.told_size)
            yield size
