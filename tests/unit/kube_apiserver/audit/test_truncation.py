"""Audit events and their batches kept to a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from keelson.api.meta import Object
from keelson.kube_apiserver.audit.backends import Batches, Buffer
from keelson.kube_apiserver.audit.truncation import Truncated


class _Backend:
    def __init__(self) -> None:
        self.events: list[Object] = []

    def send(self, event: Object) -> bool:
        self.events.append(event)
        return True

    async def run(self) -> None:
        """Nothing waits here."""

    async def flush(self) -> None:
        """Nothing waits here."""


def _event(level: str = "RequestResponse", **more: Any) -> Object:
    return {"auditID": "a", "level": level, "stage": "ResponseComplete", **more}


def test_what_is_small_stays_as_it_is() -> None:
    backend = _Backend()
    event = _event(requestObject={"a": "x" * 100})
    # In a log a newline follows, which counts.
    assert Truncated(backend, len(orjson.dumps(event)) + 1).send(event)
    assert backend.events == [event]
    assert Truncated(backend, len(orjson.dumps(event))).send(event)
    assert "requestObject" not in backend.events[1]


def test_what_is_large_loses_its_objects_and_says_so() -> None:
    backend = _Backend()
    event = _event(requestObject={"a": "x" * 1000}, responseObject={"b": "x" * 1000}, annotations={"why": "because"})
    assert Truncated(backend, 500).send(event)
    annotations = {"why": "because", "audit.k8s.io/truncated": "true"}
    assert backend.events == [_event(annotations=annotations)]
    # Other backends are given the whole.
    assert event["annotations"] == {"why": "because"}
    assert "requestObject" in event


def test_what_is_too_large_even_then_is_discarded_and_holds_nobody_up() -> None:
    backend = _Backend()
    assert Truncated(backend, 500).send(_event(requestURI="/" + "x" * 1000, requestObject={}))
    # Without objects there is nothing to leave out.
    assert Truncated(backend, 500).send(_event("Metadata", requestURI="/" + "x" * 1000))
    assert backend.events == []


async def test_batches_are_split_by_their_size() -> None:
    batches: list[list[Object]] = []

    async def deliver(batch: Sequence[Object]) -> None:
        batches.append(list(batch))

    buffer = Buffer("log", Batches(size=10, bytes=250), deliver)
    events = [_event(number=number, text="x" * size) for number, size in enumerate((10, 10, 100, 400, 10))]
    for event in events:
        buffer.send(event)
    await buffer.flush()
    # What is too large for any batch goes alone.
    assert [[each["number"] for each in batch] for batch in batches] == [[0, 1], [2], [3], [4]]
