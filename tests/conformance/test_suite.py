"""The areas that must pass whole, on a stack of their own, every night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import Stack

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_MINUTES = 90


def test_upstreams_suite_passes_but_for_what_is_listed(clone: Path) -> None:
    stack = Stack(clone, "conformance")
    stack.make("up")
    try:
        for area in ("auth", "api-machinery", "without-pods"):
            stack.make("conformance", f"AREA={area}", f"BUDGET={_MINUTES}", seconds=(_MINUTES + 10) * 60)
    finally:
        stack.make("destroy")
