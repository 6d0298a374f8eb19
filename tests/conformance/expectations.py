"""What is known not to pass yet, each with its reason: a list that may only shrink.

A spec that fails though it is not listed fails the run, and so does one that passes though it is: whoever makes a spec
pass takes it off the list in the same change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from components.setup.errors import SetupError
from tests.conformance.reports import Result

FILE = Path(__file__).parent / "not_passed.yaml"


def load(known: Iterable[str] | None, file: Path = FILE) -> dict[str, str]:
    """Return the reasons by spec; raises SetupError for a name that is not `known` and a reason that is empty.

    With None every name is taken for known.
    """
    content = yaml.safe_load(file.read_text()) or {}
    names = None if known is None else set(known)
    for name, reason in content.items():
        if names is not None and name not in names:
            raise SetupError(f"{file.name}: the suite has no spec {name!r}", "take it off the list")
        if not isinstance(reason, str) or not reason.strip():
            raise SetupError(f"{file.name}: {name!r} has no reason", "say in a sentence why it does not pass")
    return dict(content)


def complaints(results: Iterable[Result], reasons: Mapping[str, str]) -> list[str]:
    """Return one line for each spec whose result is not what the list says; none for what was not run."""
    lines = []
    for result in results:
        listed = result.name in reasons
        if result.state == "passed" and listed:
            lines.append(f"passes now, take it off not_passed.yaml: {result.name}")
        elif result.state == "failed" and not listed:
            first = next((line for line in result.told.splitlines() if line.strip()), "without a word")
            lines.append(f"failed: {result.name}: {first.strip()}")
        elif result.state == "skipped" and not listed:
            lines.append(f"skipped itself: {result.name}: {result.told}")
    return lines
