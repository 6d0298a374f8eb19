"""Compaction: one of several instances an interval, and never what is younger than an interval."""

from __future__ import annotations

import pytest

from keelson.kube_apiserver.compaction import Compactor
from keelson.storage import errors, memory


async def test_history_is_kept_for_an_interval() -> None:
    store = memory.MemoryStore()
    one, other = Compactor(store, 1), Compactor(store, 1)
    first = await store.create("/registry/a", b"1")
    for compactor in (one, other, one, other):
        await compactor.round()
    second = await store.update("/registry/a", b"2", expected=first)
    await one.round()
    await other.round()
    await store.list("/registry/", revision=second)
    for _ in range(3):
        await one.round()
        await other.round()
    with pytest.raises(errors.CompactedError):
        await store.list("/registry/", revision=second - 1)
