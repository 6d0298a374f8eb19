"""Waiting longer after each failure, with jitter so that many clients do not return at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Seconds to wait: `initial`, doubled each time up to `maximum`, each spread by up to a half."""

    def __init__(self, *, initial: float, maximum: float, spread: Callable[[], float] = random.random) -> None:
        self._initial = initial
        self._maximum = maximum
        self._spread = spread
        self._current = initial

    def next(self) -> float:
        """The next wait, in seconds."""
        wait = self._current * (1 + 0.5 * self._spread())
        self._current = min(self._current * 2, self._maximum)
        return wait

    def reset(self) -> None:
        """Begin again at the initial wait."""
        self._current = self._initial
