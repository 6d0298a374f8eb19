"""The specs that make a conformant cluster, as upstream's suite lists them, and those of them that a run is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from components.setup import commands
from components.setup.errors import SetupError

WITHOUT_PODS = "without-pods"
"""The area of no group: every spec, of any group, that no pod need run for (without_pods.yaml)."""

_HERE = Path(__file__).parent
_AREA = re.compile(r"\[sig-([a-z-]+)\]")


def listed(program: Path) -> tuple[str, ...]:
    """Return the names of all conformance specs that the suite `program` has, as it orders them."""
    return tuple(entry["codename"] for entry in yaml.safe_load(commands.capture([program, "--list-conformance-tests"])))


def area(name: str) -> str:
    """Return the area of a spec: the special interest group whose tag its name begins with."""
    match = _AREA.match(name)
    return match[1] if match else "other"


def chosen(names: Iterable[str], *, area_: str, focus: str) -> tuple[str, ...]:
    """Return the names of one area (all if empty) that the regular expression `focus` is found in.

    Raises SetupError where that is none, or where `focus` is no regular expression.
    """
    everything = tuple(names)
    areas = {area(name) for name in everything} | {WITHOUT_PODS}
    if area_ and area_ not in areas:
        raise SetupError(f"the suite has no area {area_!r}", f"AREA= one of {', '.join(sorted(areas))}")
    podless = _without_pods() if area_ == WITHOUT_PODS else frozenset()
    try:
        pattern = re.compile(focus)
    except re.error as error:
        raise SetupError(
            f"FOCUS={focus} is no regular expression ({error})", "quote it for make and the shell"
        ) from error
    found = tuple(
        name for name in everything if (not area_ or area(name) == area_ or name in podless) and pattern.search(name)
    )
    if not found:
        raise SetupError(f"no spec matches AREA={area_} FOCUS={focus}", "see the names in the JUnit report of a run")
    return found


def is_serial(name: str) -> bool:
    """Tell whether a spec must run while no other does."""
    return "[Serial]" in name or "[Disruptive]" in name


def _without_pods() -> frozenset[str]:
    return frozenset(yaml.safe_load((_HERE / "without_pods.yaml").read_text()))
