"""Numbers by labels that name resources, of which users define new ones and take them away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_LEAST = 256


class Series(dict[K, V], Generic[K, V]):
    """Each made when it is first asked for. As often as their number has doubled, those that nobody needs are dropped.

    `is_current` tells whether what the labels name is still there.
    """

    def __init__(self, make: Callable[[K], V], is_current: Callable[[K], bool]) -> None:
        super().__init__()
        self._make = make
        self._is_current = is_current
        self._most = _LEAST

    def __missing__(self, labels: K) -> V:
        if len(self) >= self._most:
            for gone in [each for each in self if not self._is_current(each)]:
                del self[gone]
            self._most = max(_LEAST, 2 * len(self))
        made = self[labels] = self._make(labels)
        return made
