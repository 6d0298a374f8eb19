"""Built-in kinds that are served in a version other than the stored one.

Events are stored as core v1, whichever group wrote them; HorizontalPodAutoscalers as autoscaling/v2. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keelson.api.meta import Object
from keelson.api.resources import Resource

from . import autoscalers


class BuiltIn(NamedTuple):
    """The stored version and the two ways."""

    stored: str
    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]


# events.k8s.io/v1 on the left, v1 on the right (API reference of both).
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS_BACK = {right: left for left, right in _EVENT_FIELDS.items()}


def _event_to_core(obj: Object) -> Object:
    return {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


# Go's v1 always states these; here "" is absence.
_LEFT_OUT = frozenset({"reportingController", "reportingInstance"})


def _event_from_core(obj: Object) -> Object:
    named = ((_EVENT_FIELDS_BACK.get(key, key), value) for key, value in obj.items())
    return {key: value for key, value in named if value or key not in _LEFT_OUT} | {"apiVersion": "events.k8s.io/v1"}


BUILT_IN: dict[tuple[str, str], BuiltIn] = {
    ("events.k8s.io/v1", "Event"): BuiltIn("v1", _event_to_core, _event_from_core),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): BuiltIn("autoscaling/v2", autoscalers.to_v2, autoscalers.from_v2),
}

# events.k8s.io/v1 names its selectable fields after its own schema; the cache knows the stored ones.
_EVENT_SELECTORS = {"regarding": "involvedObject", "reportingController": "reportingComponent"}


def selectable_field(resource: Resource, field: str) -> str:
    """The stored version's name of a field that a selector of this version names."""
    if resource.qualified != "events.events.k8s.io":
        return field
    head, dot, rest = field.partition(".")
    return _EVENT_SELECTORS.get(head, head) + dot + rest
