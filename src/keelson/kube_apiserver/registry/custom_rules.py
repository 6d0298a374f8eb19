"""Custom resources held against the schema of their definition, and how long its rules in CEL take.

Rules are compiled when an object is first judged by them. What they may cost is known then: rules that may take long
are judged in a thread, while others are served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from time import perf_counter
from types import TracebackType

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.api import validation
from keelson.api.meta import Object
from keelson.component_base.histograms import Histogram

from .catalogues import Served

# Units of cost, of which a second holds some hundred thousand, above which rules leave the event loop.
_COSTLY = 20_000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Timed:
    """As a context: the seconds that it lasted."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self._began


class CustomRules(Collector):
    """The judge of one server, with upstream's metrics of it (apiserver/pkg/cel/metrics)."""

    def __init__(self) -> None:
        self._compilations = Histogram(_SECONDS)
        self._evaluations = Histogram(_SECONDS)

    def _price(self, served: Served) -> int:
        if served.schema.rules is not None:
            return validation.rules_price(served.schema)
        timed = _Timed()
        with timed:
            price = validation.rules_price(served.schema)
        if price:
            self._compilations.note(timed.seconds)
        return price

    async def causes(
        self, served: Served, obj: Object, old: Object | None, *, subresource: str = ""
    ) -> validation.Causes:
        """What a CRD has against the object."""
        timed = _Timed()
        judge = partial(
            validation.validate_structural,
            served.schema,
            obj,
            old,
            subresource=subresource,
            scale=served.extras.get("scale"),
            timing=timed,
        )
        price = self._price(served)
        found = judge() if price < _COSTLY else await asyncio.to_thread(judge)
        if price:
            self._evaluations.note(timed.seconds)
        return found

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        for name, help_, seconds in (
            ("compilation", "CEL compilation time in seconds.", self._compilations),
            ("evaluation", "CEL evaluation time in seconds.", self._evaluations),
        ):
            family = HistogramMetricFamily(f"apiserver_cel_{name}_duration_seconds", help_)
            family.add_metric((), seconds.buckets, seconds.summed)
            yield family
