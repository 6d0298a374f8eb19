"""Histograms in plain lists: a metric library's own objects cost more than what is measured here often takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts by upper bounds; `summed` is the sum of what was noted."""

    __slots__ = ("bounds", "counts", "summed")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.summed = 0.0

    def note(self, value: float, times: int = 1) -> None:
        """Count a value, as often as it was seen."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.summed += value * times

    def add(self, counts: Sequence[int], summed: float) -> None:
        """Take in another histogram of the same bounds."""
        self.counts = [mine + other for mine, other in zip(self.counts, counts, strict=True)]
        self.summed += summed

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """As prometheus_client takes them."""
        return buckets(self.bounds, self.counts)


def buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """(upper bound, how many are not above it) of counts by bounds, the last of which are above all bounds."""
    found, total = [], 0
    for bound, count in zip((*(f"{bound:g}" for bound in bounds), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
