"""What cells of printed tables are made of: ages, lists, references, columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from keelson.api import meta, selectors
from keelson.api.meta import Object

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


class Column(NamedTuple):
    """A metav1.TableColumnDefinition; priority 0 is always shown, 1 with `-o wide`."""

    name: str
    type: str
    format: str
    description: str
    priority: int


Cells = Callable[[Object, datetime], list[Any]]


class Printer(NamedTuple):
    """How a kind is printed: its columns, and the cells of one object at a moment."""

    columns: tuple[Column, ...]
    cells: Cells


def columns(*specs: str) -> tuple[Column, ...]:
    """Columns from "Name", "Count:integer", "Attacher::name" (a format) or "Images*" (with `-o wide` only)."""
    found = []
    for spec in specs:
        name, _, rest = spec.partition(":")
        kind, _, style = rest.partition(":")
        wide = name.endswith("*")
        name = name.rstrip("*")
        style = style or ("name" if name == "Name" else "")
        found.append(
            Column(name, kind or "string", style, _DESCRIPTIONS.get(name, f"{name} of the object."), int(wide))
        )
    return tuple(found)


_DESCRIPTIONS = {
    "Name": "The name, unique within a namespace. It identifies the object and can't be changed.",
    "Age": "How long ago the object was created.",
    "Created At": "When the object was created, as the server counts time (RFC 3339, UTC).",
    "Ready": "How many of those that are wanted are ready to serve.",
    "Status": "The state that the object is in, in one word.",
    "Restarts": "How often containers were restarted, and when last.",
    "Containers": "The names of the containers of the pod template.",
    "Images": "The images of the containers of the pod template.",
    "Selector": "The labels of the pods that belong to the object.",
}


def human_duration(seconds: float) -> str:
    """A duration in at most two units, coarser the longer it is: "75s", "5m3s", "3h", "7d4h", "2y"."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _pair(great: int, unit: str, small: int, fraction: str) -> str:
    return f"{great}{unit}{small}{fraction}" if small else f"{great}{unit}"


def since(text: str | None, now: datetime) -> str:
    """How long ago a moment of the API was; "<unknown>" where there is none."""
    return human_duration((now - meta.parse_time(text)).total_seconds()) if text else UNKNOWN


def age(obj: Object, now: datetime) -> str:
    """How long ago the object was created."""
    return since(meta.metadata(obj).get("creationTimestamp"), now)


def joined(items: Iterable[Any], limit: int = 0) -> str:
    """The items with commas between, "<none>" where there are none, "a,b + 3 more..." beyond a limit."""
    found = [str(item) for item in items]
    if not found:
        return NONE
    if limit and len(found) > limit:
        return f"{','.join(found[:limit])} + {len(found) - limit} more..."
    return ",".join(found)


def labels(found: Mapping[str, str] | None) -> str:
    """A map of labels as one selector."""
    return joined(f"{key}={value}" for key, value in sorted((found or {}).items()))


def label_selector(found: Mapping[str, Any] | None) -> str:
    """A LabelSelector as text."""
    if not found:
        return NONE
    return str(selectors.from_label_selector(found)) or NONE


def template_containers(template: Mapping[str, Any] | None) -> list[str]:
    """The two cells Containers and Images of a pod template."""
    found = ((template or {}).get("spec") or {}).get("containers") or ()
    return [",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)]


def or_none(value: Any) -> Any:
    """The value, or "<none>" where it is absent or empty."""
    return value if value not in (None, "") else NONE


def default_printer(obj: Object, now: datetime) -> list[Any]:
    """The cells of kinds without columns of their own."""
    del now  # A moment is printed as it is stored.
    return [meta.name(obj), meta.metadata(obj).get("creationTimestamp")]


DEFAULT = Printer(
    (
        Column("Name", "string", "name", _DESCRIPTIONS["Name"], 0),
        Column("Created At", "date", "", _DESCRIPTIONS["Created At"], 0),
    ),
    default_printer,
)
