"""Upstream's programs, built once per machine, for the suites that hold ours against them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.setup import kubernetes_programs
from tests.contracts.kube_apiserver.api_servers import ROOT


@pytest.fixture(scope="session")
def upstream() -> Callable[[str], Path]:
    """The path of one of upstream's programs by its name."""
    return lambda name: kubernetes_programs.build(ROOT, name)
