"""What an etcd watch makes of the answers that it reads."""

from __future__ import annotations

from collections import deque
from typing import Any

from keelson.storage import etcd
from keelson.storage._gen import etcd_pb2 as pb
from keelson.storage.errors import UnavailableError
from keelson.storage.stores import Batch


class Answers:
    """A call that has these answers ready, and then ends."""

    def __init__(self, *answers: pb.WatchResponse) -> None:
        self._left = deque(answer.SerializeToString() for answer in answers)

    @property
    def has_more(self) -> bool:
        return bool(self._left)

    async def read(self) -> bytes | None:
        return self._left.popleft() if self._left else None


def answer(revision: int, *keys: str, fragment: bool = False) -> pb.WatchResponse:
    events = [pb.Event(kv=pb.KeyValue(key=key.encode(), mod_revision=revision)) for key in keys]
    return pb.WatchResponse(header=pb.ResponseHeader(revision=revision), events=events, fragment=fragment)


async def batches(*answers: pb.WatchResponse) -> list[Batch]:
    member: Any = None
    watch = etcd._Watch(member, "/registry/", 0)
    watch._call = Answers(*answers)  # type: ignore[assignment]
    found: list[Batch] = []
    try:
        async for batch in watch:
            found.append(batch)  # noqa: PERF401 - what was told before the end counts
    except UnavailableError:
        return found
    raise AssertionError("a watch has no end of its own")


async def test_what_has_come_already_is_one_batch_in_its_order() -> None:
    (batch,) = await batches(answer(5, "a"), answer(6, "b", "a"), answer(7, "c"))
    assert [event.entry.key for event in batch.events] == ["a", "b", "a", "c"]
    assert batch.revision == 7


async def test_progress_after_events_counts() -> None:
    (batch,) = await batches(answer(5, "a"), answer(9))
    assert (len(batch.events), batch.revision) == (1, 9)


async def test_a_batch_does_not_grow_for_ever() -> None:
    found = await batches(*(answer(revision, "a") for revision in range(1, 2502)))
    assert [(len(batch.events), batch.revision) for batch in found] == [(1000, 1000), (1000, 2000), (501, 2501)]
