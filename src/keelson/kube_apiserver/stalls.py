"""When the event loop stood still: whoever came meanwhile waited, whatever he had asked for.

A request that took long tells in the log what it was doing (`slow_requests`). Where the loop stood still, because some
other request kept it or the machine had no time for the process, that is not the reason, and this is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter

log = logging.getLogger(__name__)

# A timer comes as often, and is late by as much as the loop stood still, less at most this.
_PERIOD_SECONDS = 0.25
_NOTABLE_SECONDS = 0.1
_TOLD_SECONDS = 0.5
_REMEMBERED = 64


class Stalls:
    """What is known of the last stalls of one loop. Times are perf_counter's."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Look after the running loop until `stop`."""
        self._due = perf_counter() + _PERIOD_SECONDS
        self._timer = asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.note(self._due, perf_counter())
        self.start()

    def note(self, due: float, came: float) -> None:
        """A timer was due at one time and came at another."""
        if came - due < _NOTABLE_SECONDS:
            return
        self._known.append((due, came))
        if came - due >= _TOLD_SECONDS:
            log.warning("the event loop stood still for %d ms and served nobody", (came - due) * 1000)

    def within(self, began: float, ended: float) -> float:
        """Seconds of this time in which the loop is known to have stood still, the last quarter of a second aside."""
        known = [*self._known]
        if self._timer is not None and ended - self._due >= _NOTABLE_SECONDS:
            # The request was answered before the timer had its turn.
            known.append((self._due, ended))
        return sum(max(0.0, min(came, ended) - max(due, began)) for due, came in known)
