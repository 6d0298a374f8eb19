"""What every store must do, whichever it is: the suite runs against the memory and against a real etcd."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keelson.storage import errors, etcd, memory
from keelson.storage.stores import Batch, Store
from tests.contracts.kube_apiserver.api_servers import Authority
from tests.contracts.storage.etcd_members import Member


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.lab)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        found = memory.MemoryStore()
        yield found
        await found.close()
        return
    with Member(tmp_path) as member:
        real = etcd.EtcdStore(etcd.Settings([member.endpoint], timeout=5))
        yield real
        await real.close()


async def test_the_store_tells_its_size(store: Store) -> None:
    await store.create("/a", bytes(1000))
    assert await store.size() >= 1000


async def test_create_get_update_delete(store: Store) -> None:
    first = await store.create("/registry/a", b"1")
    found = await store.get("/registry/a")
    assert found.entry is not None
    assert (found.entry.value, found.entry.create_revision, found.entry.mod_revision) == (b"1", first, first)
    second = await store.update("/registry/a", b"2", expected=first)
    assert second == first + 1
    third = await store.delete("/registry/a", expected=second)
    assert third == second + 1
    gone = await store.get("/registry/a")
    assert gone.entry is None
    assert gone.revision >= third


async def test_writes_are_compare_and_swap(store: Store) -> None:
    revision = await store.create("/registry/a", b"1")
    with pytest.raises(errors.KeyExistsError):
        await store.create("/registry/a", b"1")
    with pytest.raises(errors.RevisionConflictError):
        await store.update("/registry/a", b"2", expected=revision + 1)
    with pytest.raises(errors.RevisionConflictError):
        await store.update("/registry/b", b"2", expected=revision)
    with pytest.raises(errors.RevisionConflictError):
        await store.delete("/registry/a", expected=revision + 1)
    entry = (await store.get("/registry/a")).entry
    assert entry is not None
    assert entry.value == b"1"


async def test_of_many_concurrent_updates_one_wins_each_revision(store: Store) -> None:
    revision = await store.create("/registry/a", b"0")

    async def once(value: bytes) -> bool:
        try:
            await store.update("/registry/a", value, expected=revision)
        except errors.RevisionConflictError:
            return False
        return True

    assert sum(await asyncio.gather(*(once(str(n).encode()) for n in range(8)))) == 1


async def test_lists_a_prefix_in_pages_of_one_revision(store: Store) -> None:
    for name in "bdac":
        await store.create(f"/registry/x/{name}", name.encode())
    await store.create("/registry/xy", b"")
    page = await store.list("/registry/x/", limit=2)
    assert [e.key[-1] for e in page.entries] == ["a", "b"]
    assert page.remaining == 2
    await store.create("/registry/x/bb", b"")
    rest = await store.list("/registry/x/", start=page.entries[-1].key + "\0", revision=page.revision)
    assert [e.key[-1] for e in rest.entries] == ["c", "d"]
    assert rest.revision == page.revision
    with pytest.raises(errors.FutureRevisionError):
        await store.list("/registry/x/", revision=page.revision + 100)


async def _until(store: Store, after: int, count: int) -> list[tuple[str, bytes, bool]]:
    watch = await store.watch("/registry/x/", after=after)
    seen: list[tuple[str, bytes, bool]] = []
    try:
        async with asyncio.timeout(10):
            async for batch in watch:
                seen += [(e.entry.key, e.entry.value, e.deleted) for e in batch.events]
                if len(seen) >= count:
                    return seen
    finally:
        await watch.close()
    raise AssertionError("the watch ended early")


async def test_watch_tells_the_past_and_the_present_in_order(store: Store) -> None:
    first = await store.create("/registry/x/a", b"1")
    await store.create("/registry/y", b"other")
    second = await store.update("/registry/x/a", b"2", expected=first)
    watching = asyncio.create_task(_until(store, first, 3))
    third = await store.create("/registry/x/b", b"3")
    await store.delete("/registry/x/a", expected=second)
    assert await watching == [
        ("/registry/x/a", b"2", False),
        ("/registry/x/b", b"3", False),
        ("/registry/x/a", b"", True),
    ]
    assert third > second


async def test_progress_is_told_when_asked_for(store: Store) -> None:
    revision = await store.create("/registry/y", b"")
    watch = await store.watch("/registry/x/", after=revision)
    latest = await store.create("/registry/z", b"")
    batches: list[Batch] = []

    async def read() -> None:
        async for batch in watch:
            batches.append(batch)
            return

    reading = asyncio.create_task(read())
    await watch.request_progress()
    async with asyncio.timeout(10):
        await reading
    await watch.close()
    assert not batches[0].events
    # An old etcd is made to tell it by a write, which has a revision too.
    assert latest <= batches[0].revision == await store.revision()


async def test_progress_never_overtakes_events(store: Store) -> None:
    """As it does where it is asked for while a watch catches up (etcd issue 15220)."""
    count = 3000
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(store.create(f"/registry/x/{number}", b"v" * 1000))
    latest = await store.revision()
    watch = await store.watch("/registry/x/", after=1)
    await watch.request_progress()
    told = 0
    async with asyncio.timeout(30):
        async for batch in watch:
            told += len(batch.events)
            await watch.request_progress()
            if batch.revision >= latest:
                break
    await watch.close()
    assert told == count


async def test_compaction_ends_history(store: Store) -> None:
    first = await store.create("/registry/x/a", b"1")
    second = await store.update("/registry/x/a", b"2", expected=first)
    third = await store.update("/registry/x/a", b"3", expected=second)
    await store.compact(third)
    with pytest.raises(errors.CompactedError):
        await store.list("/registry/x/", revision=first)
    with pytest.raises(errors.CompactedError):
        await _until(store, first - 1, 1)
    with pytest.raises(errors.CompactedError):
        await store.compact(second)
    assert [e.value for e in (await store.list("/registry/x/")).entries] == [b"3"]


async def test_keys_with_a_time_to_live_go_away_by_themselves(store: Store) -> None:
    revision = await store.create("/registry/x/a", b"1", ttl=1)
    assert (await _until(store, revision, 1)) == [("/registry/x/a", b"", True)]


@pytest.mark.parametrize(
    ("version", "honest"),
    [("3.4.24", False), ("3.4.25", True), ("3.5.7", False), ("3.5.16", True), ("3.6.0-rc.1", True), ("3.3.27", False)],
)
def test_versions_whose_progress_is_believed(version: str, honest: bool) -> None:
    assert etcd.honest_progress(version) == honest


@pytest.mark.lab
async def test_without_etcd_calls_fail_in_bounded_time_and_work_again(tmp_path: Path) -> None:
    with Member(tmp_path) as member:
        store = etcd.EtcdStore(etcd.Settings([member.endpoint], timeout=1))
        revision = await store.create("/registry/a", b"1")
        member.stop(signal.SIGKILL)
        async with asyncio.timeout(3):
            with pytest.raises(errors.UnavailableError):
                await store.get("/registry/a")
            with pytest.raises(errors.UnavailableError):
                await store.update("/registry/a", b"2", expected=revision)
        member.start()
        async with asyncio.timeout(10):
            while True:
                try:
                    found = await store.get("/registry/a")
                    break
                except errors.UnavailableError:
                    continue
        assert found.entry is not None
        assert found.entry.value == b"1"
        await store.close()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.lab
async def test_over_tls_only_with_a_certificate_that_etcd_knows(tmp_path: Path) -> None:
    ours, other = Authority("etcd"), Authority("other")
    files = {"ca": ours.pem, "other-ca": other.pem}
    for name, authority, where in (
        ("server", ours, ["127.0.0.1"]),
        ("client", ours, []),
        ("stranger", other, []),
    ):
        files[f"{name}.crt"], files[f"{name}.key"] = authority.issue(name, addresses=where)
    paths = {name: str(tmp_path / name) for name in files}
    await asyncio.to_thread(_write, tmp_path, files)
    flags = [
        f"--cert-file={paths['server.crt']}",
        f"--key-file={paths['server.key']}",
        f"--trusted-ca-file={paths['ca']}",
        "--client-cert-auth",
    ]
    with Member(tmp_path / "etcd", flags, scheme="https") as member:

        def store(authority: str, name: str) -> etcd.EtcdStore:
            pair = (paths[f"{name}.crt"], paths[f"{name}.key"]) if name else ("", "")
            return etcd.EtcdStore(etcd.Settings([member.endpoint], paths[authority], *pair, timeout=2))

        known = store("ca", "client")
        revision = await known.create("/registry/x/a", b"x" * 100_000)
        assert await _until(known, revision - 1, 1) == [("/registry/x/a", b"x" * 100_000, False)]
        for stranger in (store("ca", ""), store("ca", "stranger"), store("other-ca", "client")):
            async with asyncio.timeout(5):
                # Without the reason nobody finds out what to mend.
                with pytest.raises(errors.UnavailableError, match=r"CERTIFICATE|certificate|connection was lost"):
                    await stranger.get("/registry/x/a")
            await stranger.close()
        assert (await known.get("/registry/x/a")).entry is not None
        await known.close()


@pytest.mark.lab
async def test_a_dead_member_costs_nothing_but_a_turn_to_the_next(tmp_path: Path) -> None:
    with Member(tmp_path) as member:
        store = etcd.EtcdStore(etcd.Settings(["http://127.0.0.1:1", member.endpoint], timeout=5))
        async with asyncio.timeout(3):
            revision = await store.create("/registry/a", b"1")
            assert await store.revision() == revision
        await store.close()
