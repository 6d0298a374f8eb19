"""What the controls share: a finding, a walk over all containers, and upstream's way of naming them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from keelson.api.meta import Object


class Finding(NamedTuple):
    """What a control forbids: the reason in a few words, and what exactly."""

    reason: str
    detail: str


def containers(spec: Object) -> Iterator[Object]:
    """All containers, in the order in which findings name them."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def context(holder: Object) -> Object:
    """The securityContext of a pod's spec or a container."""
    found: Object = holder.get("securityContext") or {}
    return found


def quoted(items: Sequence[str]) -> str:
    """Each in quotes, with commas between."""
    return ", ".join(f'"{item}"' for item in items)


def named(items: Sequence[str], noun: str = "container") -> str:
    """The noun in its number and the names."""
    return f"{noun if len(items) == 1 else noun + 's'} {quoted(items)}"


def setters(spec: Object, is_bad: Callable[[Object], bool]) -> list[str]:
    """Who does what is forbidden: "pod", and the containers in one phrase."""
    found = ["pod"] if is_bad(spec) else []
    bad = [str(each.get("name")) for each in containers(spec) if is_bad(each)]
    return [*found, named(bad)] if bad else found


def listed(spec: Object, values: Callable[[Object], Sequence[str]]) -> tuple[list[str], set[str]]:
    """(the containers that have forbidden values, all of those values)."""
    bad: list[str] = []
    seen: set[str] = set()
    for each in containers(spec):
        if found := values(each):
            bad.append(str(each.get("name")))
            seen.update(found)
    return bad, seen
