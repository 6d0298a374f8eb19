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


async def test_every_instance_learns_what_is_gone() -> None:
    store = memory.MemoryStore()
    told: list[list[int]] = [[], []]
    instances = [Compactor(store, 1, told[0].append), Compactor(store, 1, told[1].append)]
    for number in range(3):
        await store.create(f"/registry/{number}", b"1")
        for instance in instances:
            await instance.round()
    found = await store.get("compact_rev_key")
    assert found.entry is not None
    # As upstream's servers read it: the revision compacted to.
    assert told[0][-1] == told[1][-1] == int(found.entry.value) > 0


async def test_an_instance_that_starts_compacts_nothing_younger_than_an_interval() -> None:
    store = memory.MemoryStore()
    before = Compactor(store, 1)
    for _ in range(2):
        await before.round()
    revision = await store.create("/registry/a", b"1")
    started = Compactor(store, 1)
    await started.round()
    await store.list("/registry/", revision=revision - 1)
    await store.create("/registry/b", b"1")
    await started.round()
    with pytest.raises(errors.CompactedError):
        await store.list("/registry/", revision=revision - 1)
