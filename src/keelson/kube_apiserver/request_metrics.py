"""What is measured of every request, under upstream's names and labels (its list of stable metrics).

Numbers are kept in plain lists and made into metrics when somebody asks, as a metric library's own objects cost more
than a read from the cache. Labels are only ever names that this server knows: what a client makes up has none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .caches.collections import Collection
from .registry.catalogues import Catalogue
from .serving.request_infos import RequestInfo

_SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
_BYTES = tuple(1000.0 * 10**power for power in range(7))
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_VERBS = {"create": "POST", "update": "PUT"}
_CONNECTED = frozenset({"exec", "attach", "portforward", "proxy"})
_READS = frozenset({"GET", "LIST"})
# Subresources that no catalogue lists, as their handlers are special.
_SPECIAL = frozenset({"binding", "eviction", "log", "token", "status", "scale", *_CONNECTED})
_APPLY = "application/apply-patch"


class Meter:
    """The numbers of requests that have the same labels. `open` counts long-running ones that go on."""

    __slots__ = ("codes", "labels", "open", "seconds", "sizes", "summed", "summed_sizes")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.codes: dict[int, int] = {}
        self.seconds = [0] * (len(_SECONDS) + 1)
        self.summed = 0.0
        self.sizes = [0] * (len(_BYTES) + 1) if labels[0] in _READS else None
        self.summed_sizes = 0
        self.open: int | None = None

    def count(self, code: int) -> None:
        """One that has no duration, as a watch."""
        self.codes[code] = self.codes.get(code, 0) + 1

    def note(self, code: int, seconds: float, size: int = -1) -> None:
        """One that was answered; `size` is that of the answer in bytes, where it is known."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds[bisect_left(_SECONDS, seconds)] += 1
        self.summed += seconds
        if size >= 0 and self.sizes is not None:
            self.sizes[bisect_left(_BYTES, size)] += 1
            self.summed_sizes += size

    def begin(self) -> None:
        """A long-running one goes on from here."""
        self.open = (self.open or 0) + 1

    def end(self) -> None:
        """It has ended."""
        assert self.open
        self.open -= 1


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip((*(f"{bound:g}" for bound in bounds), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


class Meters(Collector):
    """All meters of one server; `remote` tells whether another server has a group and version."""

    def __init__(self, catalogue: Catalogue, remote: Callable[[str, str], bool]) -> None:
        self._catalogue = catalogue
        self._remote = remote
        self._meters: dict[tuple[str, ...], Meter] = {}
        # Meters by what tells requests apart most of the time; cleared when the catalogue changes.
        self._found: dict[tuple[str, ...], Meter] = {}
        self._generation = -1

    def of(self, info: RequestInfo, query: str = "", media_type: str = "") -> Meter:
        """The meter of a request; `media_type` is its body's."""
        dry = "All" if query and "dryRun=All" in query else ""
        applies = "y" if info.verb == "patch" and media_type.startswith(_APPLY) else ""
        named = "y" if info.name else ""
        spaced = "y" if info.namespace else ""
        key = (info.verb, info.group, info.version, info.resource, info.subresource, named, spaced, dry, applies)
        if self._generation != self._catalogue.generation:
            self._generation = self._catalogue.generation
            self._found.clear()
        meter = self._found.get(key)
        if meter is None:
            labels = self._labels(info, dry, applies)
            meter = self._meters.get(labels)
            if meter is None:
                meter = self._meters[labels] = Meter(labels)
            if info.resource == labels[4] and info.subresource == labels[5]:
                # What is not known here is looked up every time, and kept nowhere.
                self._found[key] = meter
        return meter

    def _labels(self, info: RequestInfo, dry: str, applies: str) -> tuple[str, ...]:
        if not info.is_resource:
            verb = info.verb.upper() if info.verb in ("get", "head", "post", "put", "patch", "delete") else "OTHER"
            return (verb, dry, "", "", "", "", "", "apiserver")
        verb = "APPLY" if applies else _VERBS.get(info.verb, info.verb.upper())
        if info.subresource in _CONNECTED:
            verb = "CONNECT"
        scope = "resource" if info.name or info.verb == "create" else "namespace" if info.namespace else "cluster"
        served = self._catalogue.find(info.group, info.version, info.resource)
        if served is None:
            if self._remote(info.group, info.version):
                return (verb, dry, info.group, info.version, "", "", scope, "apiserver")
            return (verb, dry, "", "", "", "", scope, "apiserver")
        subresource = info.subresource
        if subresource not in served.resource.subresources and subresource not in _SPECIAL:
            subresource = ""
        return (verb, dry, info.group, info.version, info.resource, subresource, scope, "apiserver")

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        requests = CounterMetricFamily(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            labels=(*_LABELS, "code"),
        )
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
            labels=_LABELS,
        )
        plain = (_LABELS[0], *_LABELS[2:])
        sizes = HistogramMetricFamily(
            "apiserver_response_sizes",
            "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and "
            "component.",
            labels=plain,
        )
        long_running = GaugeMetricFamily(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope "
            "and component. Not all requests are tracked this way.",
            labels=plain,
        )
        for meter in list(self._meters.values()):
            without = (meter.labels[0], *meter.labels[2:])
            for code, count in list(meter.codes.items()):
                requests.add_metric((*meter.labels, str(code)), count)
            if any(meter.seconds):
                durations.add_metric(meter.labels, _buckets(_SECONDS, meter.seconds), meter.summed)
            if meter.sizes is not None and any(meter.sizes):
                sizes.add_metric(without, _buckets(_BYTES, meter.sizes), float(meter.summed_sizes))
            if meter.open is not None:
                long_running.add_metric(without, meter.open)
        yield from (requests, durations, sizes, long_running, self._stored())

    def _stored(self) -> Metric:
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        seen: dict[int, Collection] = {}
        for served in self._catalogue:
            if served.is_stored:
                collection = self._catalogue.collection(served)
                if id(collection) not in seen and collection.last_change:
                    seen[id(collection)] = collection
                    objects.add_metric((served.resource.qualified,), len(collection))
        return objects
