"""Compaction of the store's history, by whichever instance is first each time.

Upstream's agreement: the key `compact_rev_key`, which holds the revision compacted to, is swapped by one instance an
interval, and whoever swapped it compacts to the revision that the store had an interval ago. So history is kept for one
interval at least and two at most, and several servers (upstream's too) never compact twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from keelson.storage import errors
from keelson.storage.stores import Store

log = logging.getLogger(__name__)

_KEY = "compact_rev_key"


class Compactor:
    """Compacts while `run` runs. `told` is called with each revision that this instance or another compacted to."""

    def __init__(self, store: Store, interval: float, told: Callable[[int], None] = lambda _revision: None) -> None:
        self._store = store
        self._interval = interval
        self._told = told
        # What was seen an interval ago: the key's revision and the store's.
        self._seen, self._revision = 0, 0

    async def run(self) -> None:
        """One round an interval; ends by being cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.round()
            except errors.StorageError as error:
                log.warning("history can't be compacted now: %s", error)

    async def round(self) -> None:
        """Swap the key; compact where the swap shows that nobody did since the last round. Raises StorageError."""
        found = await self._store.get(_KEY)
        previous, self._revision = self._revision, found.revision
        value = str(previous).encode()
        try:
            if found.entry is None:
                self._seen = await self._store.create(_KEY, value)
            elif found.entry.mod_revision == self._seen:
                self._seen = await self._store.update(_KEY, value, expected=self._seen)
                await self._store.compact(previous)
                log.info("history before revision %d is compacted", previous)
                self._told(previous)
            else:
                # Somebody else did; this instance looks again in an interval.
                self._seen = found.entry.mod_revision
                if found.entry.value.isdigit():
                    self._told(int(found.entry.value))
        except (errors.KeyExistsError, errors.RevisionConflictError, errors.CompactedError) as error:
            log.debug("another instance compacts: %s", error)
