from __future__ import annotations

from typing import Any

from keelson.api.meta import Object
from keelson.kubelet.decisions import evictions


def pod(uid: str, *, memory: str = "", priority: int = 0, **metadata: Any) -> Object:
    resources = {"requests": {"memory": memory}} if memory else {}
    return {
        "metadata": {"name": uid, "uid": uid, **metadata},
        "spec": {"priority": priority, "containers": [{"name": "c", "resources": resources}]},
    }


def test_thresholds_are_amounts_or_percentages() -> None:
    available = {"memory.available": (90 * 2**20, 2**30), "nodefs.available": (20, 100)}
    found = evictions.shortages(available, {"memory.available": "100Mi", "nodefs.available": "10%", "unknown": "1"})
    assert [shortage.condition for shortage in found] == ["MemoryPressure"]
    assert "memory" in evictions.message(found[0])


def test_who_goes_first() -> None:
    usage = {"above": 200, "within": 900, "precious": 900, "doomed": 999}
    pods = [
        pod("within", memory="1000"),
        pod("above", memory="100"),
        pod("precious", priority=2_000_000_000),
        pod("doomed", deletionTimestamp="2026-01-01T00:00:00Z"),
    ]
    order = []
    while (chosen := evictions.victim(pods, "memory", usage)) is not None:
        order.append(chosen["metadata"]["uid"])
        pods.remove(chosen)
    assert order == ["above", "within"]
    low, high = pod("low", priority=1), pod("high", priority=2)
    assert evictions.victim([high, low], "memory", {"low": 1, "high": 99}) is low
