"""Long lists as pieces that outlive the answer: two lists of a collection differ in the few items that changed between.

Where one piece ends and the next begins is decided by the items' keys and not by their places, so that an item that
comes or goes changes its own piece alone. What is kept is forgotten when nobody has listed for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.serving.pieces import Piece

# On average one key in so many begins a piece: compressing a piece of pods then takes about a millisecond.
_MASK = 31
# Shorter lists are joined faster than they are looked up.
LEAST_ITEMS = 64
_MOST_BYTES = 128 << 20
_IDLE_SECONDS = 60.0


class Pieces:
    """The pieces of one resource in one form; `join` makes the bytes of a run of items."""

    def __init__(self, join: Callable[[Sequence[Item]], bytes]) -> None:
        self._join = join
        self._kept: dict[tuple[str, str], tuple[Sequence[Item], Piece]] = {}
        self._bytes = 0
        # The last list, which a collection that did not change shows again.
        self._last: tuple[Sequence[Item], list[Piece]] | None = None
        self._used = False
        self._timer: asyncio.TimerHandle | None = None

    def of(self, items: Sequence[Item]) -> list[Piece]:
        """The items, which are in the order of keys, as pieces in the same order."""
        self._keep_alive()
        if self._last is not None and self._last[0] is items:
            return self._last[1]
        # What is hashed here is remembered by the strings themselves.
        starts = [place for place, item in enumerate(items) if place and not hash(item.key) & _MASK]
        pieces: list[Piece] = []
        for start, end in zip([0, *starts], [*starts, len(items)], strict=True):
            run = items[start:end]
            key = (run[0].key, run[-1].key)
            kept = self._kept.get(key)
            # Lists of the same objects compare by identity, one pointer an item.
            if kept is None or kept[0] != run:
                if kept is not None:
                    self._bytes -= len(kept[1])
                kept = self._kept[key] = (run, Piece(self._join(run)))
                self._bytes += len(kept[1])
            pieces.append(kept[1])
        self._last = (items, pieces)
        if self._bytes > _MOST_BYTES:
            self._forget()
        return pieces

    def _forget(self) -> None:
        self._kept.clear()
        self._bytes = 0
        self._last = None

    def _keep_alive(self) -> None:
        self._used = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._age)

    def _age(self) -> None:
        self._timer = None
        if self._used:
            self._keep_alive()
            self._used = False
        else:
            self._forget()
