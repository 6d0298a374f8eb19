"""The queue's promises: one entry per key, never two workers on one key, nothing lost, growing delays."""

import asyncio

import pytest

from keelson.api import errors
from keelson.client.rest import FencedError
from keelson.client.work_queues import WorkQueue, work


async def test_a_key_added_twice_is_one_entry() -> None:
    queue = WorkQueue()
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]


async def test_a_key_added_during_its_work_comes_again_after_it() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_the_earliest_of_several_delays_counts() -> None:
    queue = WorkQueue()
    queue.add_after("a", 1000)
    queue.add_after("a", 0.001)
    queue.add_after("a", 1000)
    async with asyncio.timeout(5):
        assert await queue.get() == "a"


async def test_failures_are_retried_and_bugs_do_not_stop_the_others() -> None:
    queue = WorkQueue()
    tries: dict[str, int] = {}
    finished = asyncio.Event()

    async def reconcile(key: str) -> float | None:
        tries[key] = tries.get(key, 0) + 1
        if tries[key] == 1:
            raise ValueError("a bug") if key == "bug" else errors.conflict("pods", key, "stale")
        if len(tries) == 3 and min(tries.values()) == 2:
            finished.set()
        return None

    for key in ("bug", "conflict", "other"):
        queue.add(key)
    worker = asyncio.create_task(work("test", queue, reconcile))
    async with asyncio.timeout(5):
        await finished.wait()
    worker.cancel()
    assert tries == {"bug": 2, "conflict": 2, "other": 2}


async def test_a_fenced_client_ends_the_work() -> None:
    queue = WorkQueue()
    queue.add("a")

    async def reconcile(_key: str) -> float | None:
        raise FencedError("the lease is lost")

    with pytest.raises(ExceptionGroup) as caught:
        await work("test", queue, reconcile)
    assert caught.group_contains(FencedError)


async def test_what_a_namespace_refuses_while_it_goes_away_is_not_tried_again() -> None:
    queue = WorkQueue()
    tries: list[str] = []
    refusal = errors.forbidden(
        "pods", "p", "unable to create new content in namespace n because it is being terminated"
    )
    refusal.details["causes"] = [errors.cause("metadata.namespace", "NamespaceTerminating", "namespace n is going")]

    async def reconcile(key: str) -> float | None:
        tries.append(key)
        if key == "going":
            raise refusal
        if len(tries) < 4:
            raise errors.conflict("pods", key, "stale")
        worker.cancel()
        return None

    queue.add("going")
    queue.add("staying")
    worker = asyncio.create_task(work("test", queue, reconcile))
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await worker
    assert tries == ["going", "staying", "staying", "staying"]
