"""What is measured of authorization, under upstream's names (apiserver/pkg/endpoints/filters, pkg/authorization)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram

_ALLOWED, _DENIED, _NO_OPINION, _ERROR = "allowed", "denied", "no-opinion", "error"
_SECONDS = tuple(0.001 * 2**power for power in range(15))


class Decisions:
    """How often one authorizer has decided. `repeated` counts requests that were let in by what it had said before.

    Remembering takes less than a microsecond: such requests are noted as having taken no time.
    """

    __slots__ = ("allowed", "denied", "repeated")

    def __init__(self) -> None:
        self.allowed = self.denied = self.repeated = 0


class Attempts(Collector):
    """The numbers of one server."""

    def __init__(self) -> None:
        self._seconds = {result: Histogram(_SECONDS) for result in (_ALLOWED, _DENIED, _NO_OPINION, _ERROR)}
        self._decisions: dict[tuple[str, str], Decisions] = {}
        # Of those who may do everything whatever is configured: no authorizer is asked.
        self.privileged = Decisions()

    def decisions(self, mode: str, name: str) -> Decisions:
        """Where the decisions of a configured authorizer are counted."""
        return self._decisions.setdefault((mode, name), Decisions())

    def note(self, allowed: bool | None, seconds: float, *, failed: bool) -> None:
        """One request was decided on; `failed` where that is for want of an authorizer that could not be asked."""
        result = _ALLOWED if allowed else _ERROR if failed else _DENIED if allowed is False else _NO_OPINION
        self._seconds[result].note(seconds)

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        attempts = CounterMetricFamily(
            "authorization_attempts",
            "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', "
            "'no-opinion' or 'error'.",
            labels=("result",),
        )
        durations = HistogramMetricFamily(
            "authorization_duration_seconds",
            "Authorization duration in seconds broken out by result.",
            labels=("result",),
        )
        repeated = self.privileged.repeated + sum(each.repeated for each in self._decisions.values())
        for result, seconds in self._seconds.items():
            shown = Histogram(_SECONDS)
            shown.add(seconds.counts, seconds.summed)
            if result == _ALLOWED:
                shown.note(0.0, repeated)
            if any(shown.counts):
                attempts.add_metric((result,), sum(shown.counts))
                durations.add_metric((result,), shown.buckets, shown.summed)
        decisions = CounterMetricFamily(
            "apiserver_authorization_decisions",
            "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
            labels=("type", "name", "decision"),
        )
        for (mode, name), found in self._decisions.items():
            for decision, count in (("allowed", found.allowed + found.repeated), ("denied", found.denied)):
                if count:
                    decisions.add_metric((mode, name, decision), count)
        return (attempts, durations, decisions)
