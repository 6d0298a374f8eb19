"""What is measured of authentication, under upstream's names (apiserver/pkg/endpoints/filters and of x509).

Most requests are known by a verdict that was kept with their connection. Looking at it takes less than a microsecond:
one integer counts them, and they are noted as having taken no time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from keelson.component_base import metrics
from keelson.component_base.histograms import Histogram

SUCCESS, FAILURE, ERROR = "success", "failure", "error"
"""Somebody is known; nobody, and nothing was shown that would name him; what was shown is not believed."""

SECONDS = tuple(0.001 * 2**power for power in range(15))
# From half an hour to a year.
_REMAINING = (
    0, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600, 604800, 2592000, 7776000, 15552000, 31104000,
)  # fmt: skip
# Names that are shown as they are; all others are of a kind, so that names of users are in no metric.
_SHOWN = frozenset({"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"})
# Certificates whose ends lie in the same minute are counted together.
_ROUNDED_SECONDS = 60
_MOST_KEPT = 1024


def shown(name: str) -> str:
    """What a user's name is in metrics."""
    return name if name in _SHOWN else "email_id" if "@" in name else "other"


class Repeats:
    """How often a kept verdict was given again: `times`, of which `noted` are in the histogram already.

    `ends` is when the certificate it rests on ends, in seconds since the epoch; 0 where it rests on none.
    """

    __slots__ = ("ends", "noted", "times")

    def __init__(self, ends: int) -> None:
        self.ends = ends
        self.times = self.noted = 0


class Attempts(Collector):
    """The numbers of one server. `clock` tells seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seconds = {result: Histogram(SECONDS) for result in (SUCCESS, FAILURE, ERROR)}
        self._users: dict[str, int] = {}
        self._remaining = Histogram(_REMAINING)
        self._repeats: dict[tuple[str, int], Repeats] = {}

    def note(self, result: str, seconds: float, name: str = "") -> None:
        """One request; `name` is the user's where he is known."""
        self._seconds[result].note(seconds)
        if result == SUCCESS:
            user = shown(name)
            self._users[user] = self._users.get(user, 0) + 1

    def certificate(self, ends: float) -> None:
        """A request came with a certificate of a client that ends then, in seconds since the epoch."""
        self._remaining.note(ends - self._clock())

    def repeats(self, name: str, ends: float) -> Repeats:
        """Where to count requests of a user by a verdict that is kept; `ends` as in `Repeats`."""
        key = (shown(name), int(ends) // _ROUNDED_SECONDS * _ROUNDED_SECONDS)
        found = self._repeats.get(key)
        if found is None:
            if len(self._repeats) >= _MOST_KEPT:
                self._forget()
            found = self._repeats[key] = Repeats(key[1])
        return found

    def _forget(self) -> None:
        """Drop what can't be given again: verdicts on certificates that have ended."""
        self._settle()
        now = self._clock()
        for key, found in list(self._repeats.items()):
            if found.ends and found.ends + _ROUNDED_SECONDS < now:
                del self._repeats[key]

    def _settle(self) -> None:
        """Note what was counted since the last time."""
        now = self._clock()
        for (user, _), found in self._repeats.items():
            times = found.times - found.noted
            if not times:
                continue
            found.noted = found.times
            self._users[user] = self._users.get(user, 0) + times
            self._seconds[SUCCESS].note(0.0, times)
            if found.ends:
                self._remaining.note(found.ends - now, times)

    def collect(self) -> Iterable[Metric]:
        """All numbers as they are now."""
        self._settle()
        users = GaugeMetricFamily(
            metrics.unsuffixed("authenticated_user_requests"),
            "Counter of authenticated requests broken out by username.",
            labels=("username",),
        )
        for user, count in self._users.items():
            users.add_metric((user,), count)
        attempts = GaugeMetricFamily(
            metrics.unsuffixed("authentication_attempts"), "Counter of authenticated attempts.", labels=("result",)
        )
        durations = HistogramMetricFamily(
            "authentication_duration_seconds",
            "Authentication duration in seconds broken out by result.",
            labels=("result",),
        )
        for result, seconds in self._seconds.items():
            if any(seconds.counts):
                attempts.add_metric((result,), sum(seconds.counts))
                durations.add_metric((result,), seconds.buckets, seconds.summed)
        expirations = HistogramMetricFamily(
            "apiserver_client_certificate_expiration_seconds",
            "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
        )
        expirations.add_metric((), self._remaining.buckets, self._remaining.summed)
        return (users, attempts, durations, expirations)
