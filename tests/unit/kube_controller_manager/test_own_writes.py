"""What a controller sees of its own writes before its informer tells of them."""

from __future__ import annotations

from typing import Any

from keelson.client.informers import Informer
from keelson.client.kubeconfigs import ClientConfig
from keelson.client.rest import Client
from keelson.kube_controller_manager.own_writes import OwnWrites


def _pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", **metadata}}


def _writes(now: list[float]) -> OwnWrites:
    informer = Informer(Client(ClientConfig(server="https://127.0.0.1"), user_agent="suite"), "pods")
    return OwnWrites(informer, monotonic=lambda: now[0])


def _over(writes: OwnWrites, *seen: dict[str, Any]) -> list[dict[str, Any]]:
    return writes.over(seen, lambda _: True)


def test_what_was_created_is_there_at_once() -> None:
    writes = _writes([0.0])
    writes.created(_pod("a"))
    assert [found["metadata"]["name"] for found in _over(writes)] == ["a"]


def test_what_was_updated_is_the_newest() -> None:
    writes = _writes([0.0])
    writes.created(_pod("a", resourceVersion="2", labels={"new": "yes"}))
    assert _over(writes, _pod("a"))[0]["metadata"]["labels"] == {"new": "yes"}
    assert "labels" not in _over(writes, _pod("a", resourceVersion="3"))[0]["metadata"]


def test_what_was_deleted_is_gone_at_once() -> None:
    writes = _writes([0.0])
    writes.deleted(_pod("a"), {"kind": "Status", "status": "Success"})
    assert _over(writes, _pod("a")) == []


def test_what_ends_gracefully_keeps_its_place_until_it_is_gone() -> None:
    # A daemon pod that was seen no more was made anew beside the one that still ended.
    now = [0.0]
    writes = _writes(now)
    ending = _pod("a", resourceVersion="2", deletionTimestamp="2026-01-01T00:00:00Z")
    writes.deleted(_pod("a"), ending)
    assert _over(writes, _pod("a"), _pod("b")) == [ending, _pod("b")]
    assert _over(writes) == []


def test_a_write_is_not_trusted_for_ever() -> None:
    now = [0.0]
    writes = _writes(now)
    writes.created(_pod("a"))
    writes.deleted(_pod("b"))
    now[0] = 301.0
    assert _over(writes, _pod("b")) == [_pod("b")]
