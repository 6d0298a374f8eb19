"""The scheduling queue: order, backoff, and what brings a hopeless pod back. Time is an argument."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keelson.kube_scheduler.queues import SchedulingQueue


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pod(name: str, *, priority: int = 0, uid: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": uid or name},
        "spec": {"priority": priority, **spec},
    }


async def taken(queue: SchedulingQueue) -> str:
    """The name of the next pod; "" where none is due now."""
    task = asyncio.create_task(queue.next())
    for _ in range(3):
        await asyncio.sleep(0)
    if task.done():
        return str(task.result()["metadata"]["name"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return ""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> SchedulingQueue:
    return SchedulingQueue(clock)


async def test_priority_comes_before_age(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("old"))
    clock.now += 1
    queue.add(pod("young"))
    queue.add(pod("important", priority=1))
    assert [await taken(queue) for _ in range(4)] == ["important", "old", "young", ""]


async def test_a_failed_pod_backs_off_from_its_attempt_on(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("a"))
    for delay in (1, 2, 4, 8, 10, 10):
        assert await taken(queue) == "a"
        queue.failed(pod("a"), hopeless=False)
        clock.now += delay - 0.1
        assert await taken(queue) == ""
        clock.now += 0.2


async def test_a_hopeless_pod_waits_for_a_change(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("a"))
    await taken(queue)
    queue.failed(pod("a"), hopeless=True)
    assert queue.unschedulable == 1
    clock.now += 60
    assert await taken(queue) == ""
    queue.moved()
    # Its backoff passed while it waited.
    assert await taken(queue) == "a"


async def test_a_hopeless_pod_is_tried_again_after_five_minutes(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("a"))
    await taken(queue)
    queue.failed(pod("a"), hopeless=True)
    clock.now += 299
    assert await taken(queue) == ""
    clock.now += 2
    assert await taken(queue) == "a"


async def test_a_change_helps_whom_its_plugins_rejected(queue: SchedulingQueue, clock: Clock) -> None:
    for name, plugin in (("near", "InterPodAffinity"), ("large", "NodeResourcesFit")):
        queue.add(pod(name))
        await taken(queue)
        queue.failed(pod(name), hopeless=True, plugins=frozenset((plugin,)))
    clock.now += 60
    queue.moved("InterPodAffinity")
    assert [await taken(queue) for _ in range(2)] == ["near", ""]
    queue.moved("NodeResourcesFit")
    assert await taken(queue) == "large"


@pytest.mark.parametrize(("change", "due"), [((), True), (("Fit",), True), (("Affinity",), False)])
async def test_a_change_during_the_attempt_counts(
    queue: SchedulingQueue, clock: Clock, change: tuple[str, ...], due: bool
) -> None:
    queue.add(pod("a"))
    await taken(queue)
    queue.moved(*change)
    queue.failed(pod("a"), hopeless=True, plugins=frozenset(("Fit",)))
    clock.now += 2
    assert (await taken(queue) == "a") is due


async def test_a_change_of_the_pod_brings_it_back(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("a"))
    await taken(queue)
    queue.failed(pod("a"), hopeless=True)
    clock.now += 60
    queue.add({**pod("a"), "status": {"conditions": []}})
    assert await taken(queue) == ""
    queue.add(pod("a", tolerations=[{"operator": "Exists"}]))
    assert await taken(queue) == "a"


async def test_a_change_of_the_pod_during_its_attempt_is_not_lost(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(pod("a"))
    await taken(queue)
    queue.add(pod("a", tolerations=[{"operator": "Exists"}]))
    queue.failed(pod("a"), hopeless=True)
    clock.now += 2
    found = await queue.next()
    assert found["spec"]["tolerations"]


async def test_a_pod_of_the_same_name_begins_anew(queue: SchedulingQueue) -> None:
    queue.add(pod("a", uid="1"))
    await taken(queue)
    queue.add(pod("a", uid="2"))
    queue.failed(pod("a", uid="1"), hopeless=True)
    found = await queue.next()
    assert found["metadata"]["uid"] == "2"
    # What the first one's attempt ends with is not the second one's failure.
    queue.failed(pod("a", uid="1"), hopeless=True)
    assert len(queue) == 0
    queue.failed(found, hopeless=True)
    assert len(queue) == 1


async def test_a_removed_pod_does_not_come(queue: SchedulingQueue) -> None:
    queue.add(pod("a"))
    queue.remove("default/a")
    assert await taken(queue) == ""
    queue.add(pod("b"))
    await taken(queue)
    queue.remove("default/b")
    queue.failed(pod("b"), hopeless=False)
    assert len(queue) == 0


async def test_the_wait_ends_when_a_pod_comes(queue: SchedulingQueue) -> None:
    task = asyncio.create_task(queue.next())
    await asyncio.sleep(0)
    queue.add(pod("a"))
    async with asyncio.timeout(5):
        assert (await task)["metadata"]["name"] == "a"
