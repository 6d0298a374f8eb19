"""How long admission takes, each plugin and all together, under upstream's names (apiserver/pkg/admission/metrics)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base.histograms import Histogram

ADMIT, VALIDATE = "admit", "validate"
_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
QUICK_SECONDS = _SECONDS[0]
_LABELS = ("type", "operation", "rejected")
# Plugins that ask others, whose time is not the server's own.
_REMOTE = frozenset({"MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"})


class Duration:
    """The time that one step takes, by whether it refuses.

    `quick` counts those that passed within QUICK_SECONDS, beside what is in `passed`, and `quick_seconds` is their sum.
    """

    __slots__ = ("name", "passed", "quick", "quick_seconds", "rejected", "remote")

    def __init__(self, name: str, *, remote: bool = False) -> None:
        self.name = name
        self.quick = 0
        self.quick_seconds = 0.0
        self.passed = Histogram(_SECONDS)
        self.rejected = Histogram(_SECONDS)
        self.remote = remote


class Durations(Collector):
    """The times of one chain."""

    def __init__(self) -> None:
        self._plugins: dict[tuple[str, str, str], Duration] = {}
        self._steps: dict[tuple[str, str], Duration] = {}

    def of(self, name: str, kind: str, operation: str) -> Duration:
        """Where a plugin's time is noted."""
        found = self._plugins.get((name, kind, operation))
        if found is None:
            found = self._plugins[name, kind, operation] = Duration(name, remote=name in _REMOTE)
        return found

    def step(self, kind: str, operation: str) -> Duration:
        """Where the time of all plugins together is noted."""
        found = self._steps.get((kind, operation))
        if found is None:
            found = self._steps[kind, operation] = Duration(kind)
        return found

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        plugins = HistogramMetricFamily(
            "apiserver_admission_controller_admission_duration_seconds",
            "Admission controller latency histogram in seconds, identified by name and broken out for each operation "
            "and API resource and type (validate or admit).",
            labels=("name", *_LABELS),
        )
        for named, duration in list(self._plugins.items()):
            _add(plugins, named, duration)
        steps = HistogramMetricFamily(
            "apiserver_admission_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step "
            "type (validate or admit).",
            labels=_LABELS,
        )
        for kinds, duration in list(self._steps.items()):
            _add(steps, kinds, duration)
        return (plugins, steps)


def _add(family: HistogramMetricFamily, labels: Sequence[str], duration: Duration) -> None:
    passed = Histogram(_SECONDS)
    passed.add(duration.passed.counts, duration.passed.summed + duration.quick_seconds)
    passed.counts[0] += duration.quick
    for histogram, rejected in ((passed, "false"), (duration.rejected, "true")):
        if any(histogram.counts):
            family.add_metric((*labels, rejected), histogram.buckets, histogram.summed)
