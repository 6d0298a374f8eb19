"""What every object has: metadata, owners, conditions, times.

Objects are plain JSON values (`Object`); these functions are the one place that knows where their common fields lie.
Rules: API conventions ("Metadata", "Typical status properties").
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata, or an empty mapping that is not attached to it."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name(obj: Mapping[str, Any]) -> str:
    """metadata.name, "" where absent."""
    return str(metadata(obj).get("name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """metadata.namespace, "" for cluster-scoped objects."""
    return str(metadata(obj).get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    """metadata.uid, "" where absent."""
    return str(metadata(obj).get("uid") or "")


def resource_version(obj: Mapping[str, Any]) -> str:
    """metadata.resourceVersion, "" where absent. Opaque to all but the API server."""
    return str(metadata(obj).get("resourceVersion") or "")


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """metadata.labels, {} where absent."""
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """metadata.annotations, {} where absent."""
    return metadata(obj).get("annotations") or {}


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether graceful deletion has begun (metadata.deletionTimestamp is set)."""
    return bool(metadata(obj).get("deletionTimestamp"))


def key_of(namespace: str, name: str) -> str:
    """The key of informers and work queues: "namespace/name", or "name" for cluster-scoped objects."""
    return f"{namespace}/{name}" if namespace else name


def key(obj: Mapping[str, Any]) -> str:
    """`key_of` the object's namespace and name."""
    return key_of(namespace(obj), name(obj))


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name) of a key; namespace is "" for cluster-scoped objects."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def owners(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """metadata.ownerReferences, [] where absent."""
    return metadata(obj).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The owner reference whose `controller` is true; at most one may be (OwnerReference)."""
    return next((owner for owner in owners(obj) if owner.get("controller")), None)


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> dict[str, Any]:
    """A reference to `owner` (which must carry apiVersion and kind) that blocks its foreground deletion."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def format_time(moment: datetime) -> str:
    """metav1.Time: RFC 3339 in UTC with whole seconds."""
    # Several times as fast as strftime; every write stamps a time.
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="seconds")[:19] + "Z"


def format_micro_time(moment: datetime) -> str:
    """metav1.MicroTime: RFC 3339 in UTC with microseconds, as leases and events carry."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str) -> datetime:
    """A moment of RFC 3339, aware; ValueError where it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no offset")
    return moment


def conditions(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """status.conditions, [] where absent."""
    return (obj.get("status") or {}).get("conditions") or []


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any] | None:
    """The condition of this type, or None."""
    return next((found for found in conditions(obj) if found.get("type") == type_), None)


def condition_is(obj: Mapping[str, Any], type_: str, status: str = "True") -> bool:
    """Whether the object states this condition with this status."""
    found = condition(obj, type_)
    return found is not None and found.get("status") == status


def with_condition(
    current: Iterable[Mapping[str, Any]],
    *,
    type_: str,
    status: str,
    reason: str = "",
    message: str = "",
    now: datetime,
    **extra: Any,
) -> list[dict[str, Any]]:
    """The conditions with this one set; lastTransitionTime moves only when the status does."""
    result = [dict(found) for found in current]
    fresh: dict[str, Any] = {"type": type_, "status": status, **extra}
    if reason:
        fresh["reason"] = reason
    if message:
        fresh["message"] = message
    for index, found in enumerate(result):
        if found.get("type") == type_:
            same = found.get("status") == status and found.get("lastTransitionTime")
            fresh["lastTransitionTime"] = found["lastTransitionTime"] if same else format_time(now)
            result[index] = fresh
            return result
    fresh["lastTransitionTime"] = format_time(now)
    return [*result, fresh]
