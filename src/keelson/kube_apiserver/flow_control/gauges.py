"""Priority and fairness in figures, under upstream's names: read from the levels when somebody asks, kept by nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram, buckets

from .flows import Flows
from .levels import SEATS, Level, Tally

_PREFIX = "apiserver_flowcontrol_"
_SCHEMA = ("priority_level", "flow_schema")

_DEMANDS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0)
_USES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

_OF_LEVEL: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
    ("nominal_limit_seats", "Nominal number of execution seats configured for each priority level",
     lambda level: level.limits.nominal),
    ("lower_limit_seats", "Configured lower bound on number of execution seats available to each priority level",
     lambda level: level.limits.least),
    ("upper_limit_seats", "Configured upper bound on number of execution seats available to each priority level",
     lambda level: level.limits.most),
    ("current_limit_seats", "current derived number of execution seats available to each priority level",
     lambda level: level.limit if math.isfinite(level.limit) else max(level.limits.least, level.demand.last_high)),
    ("demand_seats_high_watermark", "High watermark, over last adjustment period, of demand_seats",
     lambda level: level.demand.last_high),
    ("demand_seats_average", "Time-weighted average, over last adjustment period, of demand_seats",
     lambda level: level.demand.average),
    ("demand_seats_stdev", "Time-weighted standard deviation, over last adjustment period, of demand_seats",
     lambda level: level.demand.deviation),
    ("demand_seats_smoothed", "Smoothed seat demands", lambda level: level.demand.smoothed),
    ("target_seats", "Seat allocation targets", lambda level: level.target),
)  # fmt: skip
_OF_SCHEMA: tuple[tuple[str, str, Callable[[Tally], float]], ...] = (
    ("current_inqueue_requests",
     "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
     lambda tally: tally.waiting),
    ("current_inqueue_seats", "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
     lambda tally: tally.waiting_seats),
    ("current_executing_requests",
     "Number of requests in execution (for a WATCH: while it begins)", lambda tally: tally.executing),
    ("current_executing_seats",
     "Number of seats occupied by requests in execution (for a WATCH: while it begins)", lambda tally: tally.seats),
)  # fmt: skip


class Gauges(Collector):
    """The collector of one server's levels."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    def collect(self) -> Iterable[Metric]:
        """All figures as they are now."""
        levels = list(self._flows.levels.values())
        for name, help_, value in _OF_LEVEL:
            gauge = GaugeMetricFamily(_PREFIX + name, help_, labels=("priority_level",))
            for level in levels:
                gauge.add_metric((level.name,), value(level))
            yield gauge
        tallies = [(level.name, tally) for level in levels for tally in level.tallies.values()]
        for name, help_, count in _OF_SCHEMA:
            gauge = GaugeMetricFamily(_PREFIX + name, help_, labels=_SCHEMA)
            for level_name, tally in tallies:
                gauge.add_metric((level_name, tally.schema), count(tally))
            yield gauge
        dispatched = CounterMetricFamily(
            _PREFIX + "dispatched_requests",
            "Number of requests executed by API Priority and Fairness subsystem",
            labels=_SCHEMA,
        )
        rejected = CounterMetricFamily(
            _PREFIX + "rejected_requests",
            "Number of requests rejected by API Priority and Fairness subsystem",
            labels=(*_SCHEMA, "reason"),
        )
        for level_name, tally in tallies:
            dispatched.add_metric((level_name, tally.schema), tally.dispatched)
            for reason, count_ in tally.rejected.items():
                rejected.add_metric((level_name, tally.schema, reason), count_)
        yield dispatched
        yield rejected
        yield from _of_requests(tallies)
        yield from _of_seats(levels)


def _of_requests(tallies: Sequence[tuple[str, Tally]]) -> Iterable[Metric]:
    seconds = HistogramMetricFamily(
        _PREFIX + "request_execution_seconds",
        "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API "
        "Priority and Fairness subsystem",
        labels=(*_SCHEMA, "type"),
    )
    widths = HistogramMetricFamily(
        _PREFIX + "work_estimated_seats",
        "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and "
        "Fairness",
        labels=_SCHEMA,
    )
    for level, tally in tallies:
        for kind, histogram in (("regular", tally.ran), ("watch", tally.begun)):
            if any(histogram.counts):
                seconds.add_metric((level, tally.schema, kind), histogram.buckets, histogram.summed)
        wide = tally.wide.counts
        narrow = tally.dispatched - sum(wide)
        if tally.dispatched:
            counts = [narrow + wide[0], *wide[1:]]
            widths.add_metric((level, tally.schema), buckets(SEATS, counts), narrow + tally.wide.summed)
    return (seconds, widths)


def _of_seats(levels: Sequence[Level]) -> Iterable[Metric]:
    """For how many nanoseconds levels were asked for how much of what they have, as upstream counts it."""
    demands = HistogramMetricFamily(
        _PREFIX + "demand_seats",
        "Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / "
        "(nominal number of seats for that level)",
        labels=("priority_level",),
    )
    uses = HistogramMetricFamily(
        _PREFIX + "priority_level_seat_utilization",
        "Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only "
        "initial stage for WATCHes)",
        labels=("priority_level", "phase"),
    )
    now = monotonic()
    for level in levels:
        # An exempt level may have no seats of its own; upstream divides by one then, too.
        nominal = max(level.limits.nominal, 1)
        demand, use = Histogram(_DEMANDS), Histogram(_USES)
        for seats, seconds in level.demand.until(now).items():
            times = round(seconds * 1e9)
            demand.note(seats / nominal, times)
            # Nobody waits while there are seats, so what is demanded beyond them waits.
            use.note(min(seats, level.limit) / nominal, times)
        demands.add_metric((level.name,), demand.buckets, demand.summed)
        uses.add_metric((level.name, "executing"), use.buckets, use.summed)
    return (demands, uses)
