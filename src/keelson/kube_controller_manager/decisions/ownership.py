"""What becomes of an object whose owners are gone or going (Kubernetes documentation, "Garbage Collection")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from keelson.api import meta
from keelson.api.meta import Object

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"

# "waiting": in foreground deletion. "unknown": of a kind that can't be seen; taken as present.
OwnerState = Literal["present", "waiting", "absent", "unknown"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`delete`: the propagation policy to delete with, "" to keep. `keep`: the owners that stay, None for all."""

    delete: str = ""
    keep: list[dict[str, Any]] | None = None


def waiting_finalizer(obj: Object) -> str:
    """The finalizer of ours that a deleting object waits for, "" where none."""
    if not meta.is_deleting(obj):
        return ""
    finalizers = meta.metadata(obj).get("finalizers") or []
    return next((name for name in (ORPHAN, FOREGROUND) if name in finalizers), "")


def is_waiting(obj: Object) -> bool:
    """The object waits for the garbage collector."""
    return bool(waiting_finalizer(obj))


def state_of(owner: Object) -> OwnerState:
    """The state of an owner that exists."""
    return "waiting" if waiting_finalizer(owner) == FOREGROUND else "present"


def blocks(dependent: Object, owner_uid: str) -> bool:
    """Whether the dependent keeps its owner's foreground deletion from ending."""
    return any(found["uid"] == owner_uid and found.get("blockOwnerDeletion") for found in meta.owners(dependent))


def unblocking(obj: Object) -> list[dict[str, Any]]:
    """The owners of an object, none of which has to wait for it any more."""
    return [{**owner, "blockOwnerDeletion": False} for owner in meta.owners(obj)]


def decide(obj: Object, states: Mapping[str, OwnerState]) -> Decision:
    """What to do with an object; `states` gives each owner's by UID."""
    owners = meta.owners(obj)
    solid = [owner for owner in owners if states[owner["uid"]] in {"present", "unknown"}]
    if solid:
        return Decision(keep=solid) if len(solid) < len(owners) else Decision()
    if any(states[owner["uid"]] == "waiting" for owner in owners):
        # The owner waits for this one, so this one's own dependents go first too.
        return Decision(delete="Foreground")
    finalizers = meta.metadata(obj).get("finalizers") or []
    if ORPHAN in finalizers:
        return Decision(delete="Orphan")
    return Decision(delete="Foreground" if FOREGROUND in finalizers else "Background")
