"""What is measured of every request, under upstream's names and labels (its list of stable metrics).

Numbers are kept in plain lists and made into metrics when somebody asks, as a metric library's own objects cost more
than a read from the cache. Labels are only ever names that this server knows: what a client makes up has none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram, buckets

from .registry.catalogues import Catalogue
from .series import Series
from .serving.request_infos import RequestInfo

_SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
_BYTES = tuple(1000.0 * 10**power for power in range(7))
_BODY_BYTES = tuple(50_000.0 + 100_000 * step for step in range(31))
_SLI_SECONDS = _SECONDS[2:]
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_NONE = (0,) * (len(_SECONDS) + 1)
_BODIES = {"POST": "create", "PUT": "update", "APPLY": "patch"}
_VERBS = {"create": "POST", "update": "PUT"}
_CONNECTED = frozenset({"exec", "attach", "portforward", "proxy"})
_READS = frozenset({"GET", "LIST"})
# Subresources that no catalogue lists, as their handlers are special.
_SPECIAL = frozenset({"binding", "eviction", "log", "token", "status", "scale", *_CONNECTED})
_APPLY = "application/apply-patch"


class Meter:
    """The numbers of requests that have the same labels. `open` counts long-running ones that go on."""

    __slots__ = (
        "bodies", "codes", "deprecated", "labels", "moved", "open", "seconds", "sizes", "summed", "summed_sizes",
        "waits",
    )  # fmt: skip

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.codes: dict[int, int] = {}
        self.seconds = [0] * (len(_SECONDS) + 1)
        self.summed = 0.0
        self.sizes = [0] * (len(_BYTES) + 1) if labels[0] in _READS else None
        self.summed_sizes = 0
        self.open: int | None = None
        # How the histogram of seconds differs from that of seconds that were the server's own, and by what in sum:
        # few requests wait for anybody else, so nothing is noted of the others.
        self.moved: list[int] | None = None
        self.waits = 0.0
        # Sizes of what was sent here, in bytes.
        self.bodies: Histogram | None = None
        self.deprecated = False

    def without(self, seconds: float, waited: float) -> None:
        """Of the seconds that were noted, some were spent waiting for a turn or for a webhook."""
        if self.moved is None:
            self.moved = [0] * len(self.seconds)
        self.moved[bisect_left(_SECONDS, seconds)] -= 1
        self.moved[bisect_left(_SECONDS, max(seconds - waited, 0.0))] += 1
        self.waits += min(waited, seconds)

    def taken(self, size: int) -> None:
        """A body of so many bytes came with one."""
        if self.bodies is None:
            self.bodies = Histogram(_BODY_BYTES)
        self.bodies.note(size)

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


class Meters(Collector):
    """All meters of one server; `remote` tells whether another server has a group and version."""

    def __init__(self, catalogue: Catalogue, remote: Callable[[str, str], bool]) -> None:
        self._catalogue = catalogue
        self._remote = remote
        self._meters = Series(Meter, self._is_current)
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
            meter = self._meters[labels]
            if info.resource == labels[4] and info.subresource == labels[5]:
                # What is not known here is looked up every time, and kept nowhere.
                self._found[key] = meter
        return meter

    def _is_current(self, labels: tuple[str, ...]) -> bool:
        group, version, resource = labels[2:5]
        return not resource or self._catalogue.find(group, version, resource) is not None

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
                durations.add_metric(meter.labels, buckets(_SECONDS, meter.seconds), meter.summed)
            if meter.sizes is not None and any(meter.sizes):
                sizes.add_metric(without, buckets(_BYTES, meter.sizes), float(meter.summed_sizes))
            if meter.open is not None:
                long_running.add_metric(without, meter.open)
        yield from (requests, durations, sizes, long_running, *self._own())

    def _own(self) -> Iterable[Metric]:
        """What has fewer labels than requests: the sums of several meters."""
        sli = HistogramMetricFamily(
            "apiserver_request_sli_duration_seconds",
            "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in "
            "seconds for each verb, group, version, resource, subresource, scope and component.",
            labels=(_LABELS[0], *_LABELS[2:]),
        )
        bodies = HistogramMetricFamily(
            "apiserver_request_body_size_bytes",
            "Apiserver request body size in bytes broken out by resource and verb.",
            labels=("resource", "verb", "group"),
        )
        deprecated = GaugeMetricFamily(
            "apiserver_requested_deprecated_apis",
            "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, "
            "subresource, and removed_release.",
            labels=("group", "version", "resource", "subresource", "removed_release"),
        )
        seconds: dict[tuple[str, ...], Histogram] = {}
        sizes: dict[tuple[str, ...], Histogram] = {}
        removed: set[tuple[str, ...]] = set()
        for meter in list(self._meters.values()):
            verb, _, group, version, resource, subresource, *_ = meter.labels
            if any(meter.seconds):
                found = seconds.setdefault((verb, *meter.labels[2:]), Histogram(_SLI_SECONDS))
                counts = [count + moved for count, moved in zip(meter.seconds, meter.moved or _NONE, strict=True)]
                # The lowest bounds of durations are below the lowest of these.
                found.add([sum(counts[:3]), *counts[3:]], meter.summed - meter.waits)
            if meter.bodies is not None and resource:
                name = _BODIES.get(verb, verb.lower())
                sizes.setdefault((resource, name, group), Histogram(_BODY_BYTES)).add(
                    meter.bodies.counts, meter.bodies.summed
                )
            if meter.deprecated:
                # No deprecated version that is served here has a release that will not have it any more.
                removed.add((group, version, resource, subresource, ""))
        for labels, histogram in seconds.items():
            sli.add_metric(labels, histogram.buckets, histogram.summed)
        for labels, histogram in sizes.items():
            bodies.add_metric(labels, histogram.buckets, histogram.summed)
        for labels in removed:
            deprecated.add_metric(labels, 1)
        return (sli, bodies, deprecated)
