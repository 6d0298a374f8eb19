"""What a collector is told of queues: upstream's names, while they are worked on."""

from __future__ import annotations

import asyncio

from keelson.api import errors
from keelson.client.work_queues import WorkQueue, work
from keelson.component_base import metrics


def _shown(name: str, queue: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, {"name": queue, **labels})


async def test_a_queue_is_shown_while_it_is_worked_on() -> None:
    queue = WorkQueue("suite")
    queue.add("a")
    queue.add("a")
    assert _shown("workqueue_adds_total", "suite") is None
    busy, go, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    tries: list[str] = []

    async def reconcile(key: str) -> float | None:
        tries.append(key)
        if len(tries) == 1:
            busy.set()
            await go.wait()
            raise errors.conflict("pods", key, "stale")
        if len(tries) == 3:
            finished.set()
        return None

    task = asyncio.create_task(work("suite", queue, reconcile))
    async with asyncio.timeout(10):
        await busy.wait()
        queue.add("b")
        assert _shown("workqueue_adds_total", "suite") == 2
        assert _shown("workqueue_depth", "suite") == 1
        unfinished = _shown("workqueue_unfinished_work_seconds", "suite")
        longest = _shown("workqueue_longest_running_processor_seconds", "suite")
        assert unfinished
        assert longest
        assert unfinished > 0
        assert longest >= unfinished
        go.set()
        # The worker has gone on to wait for the next key by the time this task has its turn.
        await finished.wait()
    assert tries[:2] == ["a", "b"]
    assert _shown("workqueue_retries_total", "suite") == 1
    assert _shown("workqueue_queue_duration_seconds_count", "suite") == 3
    assert _shown("workqueue_work_duration_seconds_count", "suite") == 3
    assert _shown("workqueue_depth", "suite") == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert _shown("workqueue_adds_total", "suite") is None


async def test_queues_of_one_name_are_one_and_those_without_are_none() -> None:
    first, second, nameless = WorkQueue("pair"), WorkQueue("pair"), WorkQueue()
    for queue in (first, second, nameless):
        queue.add("a")
    with first.meter.published(), second.meter.published(), nameless.meter.published():
        assert _shown("workqueue_adds_total", "pair") == 2
        assert _shown("workqueue_adds_total", "") is None
        await second.get()
        assert _shown("workqueue_depth", "pair") == 1
        bucket = _shown("workqueue_queue_duration_seconds_bucket", "pair", le="+Inf")
        assert bucket == 1


async def test_what_is_added_during_its_work_counts_once_more() -> None:
    queue = WorkQueue("again")
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    with queue.meter.published():
        assert _shown("workqueue_adds_total", "again") == 2
        assert _shown("workqueue_depth", "again") == 0
        queue.done("a")
        assert _shown("workqueue_depth", "again") == 1
        assert _shown("workqueue_unfinished_work_seconds", "again") == 0
