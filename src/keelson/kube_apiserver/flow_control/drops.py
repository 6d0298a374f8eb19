"""What Retry-After says to those who are refused: one second, doubled while many are, and slowly less when few are.

The rule is upstream's (as TCP backs off): per priority level, at most every such period, at most 32 seconds.
"""

from __future__ import annotations

from collections import deque

_MOST = 32


class Drops:
    """The refusals of one priority level."""

    def __init__(self) -> None:
        self.retry_after = 1
        self._history: deque[tuple[int, int]] = deque()
        self._second = 0
        self._count = 0
        self._raised = 0

    def count(self, second: int) -> int:
        """Count a refusal in this second (of any clock that does not go back); what to tell the client."""
        if second != self._second:
            self._history.append((self._second, self._count))
            self._second, self._count = second, 0
            self._adjust(second)
        self._count += 1
        return self.retry_after

    def _adjust(self, second: int) -> None:
        while self._history and second - self._history[0][0] > min(2 * self.retry_after, _MOST):
            self._history.popleft()
        recent = sum(count for then, count in self._history if second - then <= self.retry_after)
        if second - self._raised >= self.retry_after and recent >= 3 * self.retry_after:
            self.retry_after = min(2 * self.retry_after, _MOST)
            self._raised = second
        elif recent < self.retry_after and self.retry_after > 1:
            self.retry_after -= 1
