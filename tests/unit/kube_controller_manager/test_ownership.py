"""Garbage collection: what goes, how, and which references are dropped."""

from typing import Any

import pytest

from keelson.kube_controller_manager.decisions import ownership
from keelson.kube_controller_manager.decisions.ownership import Decision, OwnerState


def _object(*uids: str, finalizers: list[str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "finalizers": finalizers or [], "ownerReferences": [{"uid": uid} for uid in uids]}
    }


@pytest.mark.parametrize(
    ("obj", "states", "decision"),
    [
        (_object("a"), {"a": "present"}, Decision()),
        (_object("a"), {"a": "unknown"}, Decision()),
        (_object("a"), {"a": "absent"}, Decision(delete="Background")),
        (_object("a"), {"a": "waiting"}, Decision(delete="Foreground")),
        (_object("a", "b"), {"a": "absent", "b": "absent"}, Decision(delete="Background")),
        (_object("a", "b"), {"a": "absent", "b": "present"}, Decision(keep=[{"uid": "b"}])),
        (_object("a", finalizers=["orphan"]), {"a": "absent"}, Decision(delete="Orphan")),
        (_object("a", finalizers=["foregroundDeletion"]), {"a": "absent"}, Decision(delete="Foreground")),
    ],
)
def test_decide(obj: dict[str, Any], states: dict[str, OwnerState], decision: Decision) -> None:
    assert ownership.decide(obj, states) == decision


def test_only_a_deleting_object_waits() -> None:
    alive = _object(finalizers=["foregroundDeletion"])
    assert ownership.state_of(alive) == "present"
    alive["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert ownership.state_of(alive) == "waiting"
    assert ownership.is_waiting(alive)
