"""What is remembered of those who came lately, so that nobody who has gone takes room for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_SECONDS = 60.0


class Recent(Generic[K, V]):
    """Values by key, each kept for `seconds` after its last use and, while others are added, not much longer than that.

    Two generations hold them: the older is dropped whenever the younger is that old, or holds `most` of them.
    """

    def __init__(self, most: int, seconds: float = _SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._now = now
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._begun = now()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value, None where there is none; it counts as used now."""
        found = self._young.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self[key] = found
        return found

    def __setitem__(self, key: K, value: V) -> None:
        now = self._now()
        if len(self._young) >= self._most or now - self._begun > self._seconds:
            self._old, self._young, self._begun = self._young, {}, now
        self._young[key] = value

    def clear(self) -> None:
        """Remember nothing."""
        self._young.clear()
        self._old.clear()
