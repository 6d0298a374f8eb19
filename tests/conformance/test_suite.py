"""The areas that must pass whole, on a stack of their own, every night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import Stack

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# All but node, of which `without-pods` has what holds everywhere: the rest asks for cgroup controllers and a registry.
_AREAS = ("auth", "api-machinery", "apps", "scheduling", "cli", "network", "storage", "without-pods")
_MINUTES = 90


def test_upstreams_suite_passes_but_for_what_is_listed(clone: Path) -> None:
    stack = Stack(clone, "conformance")
    stack.make("up")
    try:
        for area in _AREAS:
            stack.make("conformance", f"AREA={area}", f"BUDGET={_MINUTES}", seconds=(_MINUTES + 10) * 60)
    finally:
        stack.make("destroy")
