"""Priority and fairness in figures, under upstream's names: read from the levels when somebody asks, kept by nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .flows import Flows
from .levels import Level, Tally

_PREFIX = "apiserver_flowcontrol_"
_SCHEMA = ("priority_level", "flow_schema")

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
