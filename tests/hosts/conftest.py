"""Gives each check the hosts that have its role.

The hosts come from the toolkit: `pytest tests/hosts --hosts-file=hosts.json`. A module names its role in `ROLE`; its
checks run once on each host that has it.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import clusters, machines
from tests.hosts.machines import Machine


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare --hosts-file."""
    parser.addoption("--hosts-file", default="", help="JSON file of the hosts to verify, as the toolkit writes it")


def _machines(config: pytest.Config) -> list[Machine]:
    path = config.getoption("--hosts-file")
    return machines.load(path) if path else []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise what asks for `machine` by the hosts that have the module's role."""
    if "machine" in metafunc.fixturenames:
        having = [each for each in _machines(metafunc.config) if metafunc.module.ROLE in each.groups]
        metafunc.parametrize("machine", having, ids=[each.name for each in having], scope="session")


@pytest.fixture(scope="session")
def all_machines(pytestconfig: pytest.Config) -> list[Machine]:
    """All hosts of the stack."""
    return _machines(pytestconfig)


class Connections:
    """testinfra's hosts by machine, each logged in to once."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._known: dict[str, Any] = {}

    def to(self, machine: Machine) -> Any:
        """testinfra's host of a machine."""
        if machine.name not in self._known:
            self._known[machine.name] = machine.connect(self._sockets)
        return self._known[machine.name]


@pytest.fixture(scope="session")
def connections() -> Iterator[Connections]:
    """Connections to all hosts. Their sockets lie where a path is short: sun_path holds 108 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="keelson-") as sockets:
        yield Connections(Path(sockets))


@pytest.fixture
def host(machine: Machine, connections: Connections) -> Any:
    """testinfra's host of `machine`."""
    return connections.to(machine)


@pytest.fixture(scope="session")
def soon() -> datetime.datetime:
    """A certificate that ends before this moment must be renewed."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=14)


@pytest.fixture(scope="session")
def cluster() -> Iterator[clusters.Cluster]:
    """The cluster that the hosts form, through the operator's kubeconfig."""
    path = os.environ.get("KUBECONFIG", "")
    if not path:
        pytest.skip("KUBECONFIG is not set: the hosts are verified, the cluster is not")
    with clusters.connect(path) as connected:
        yield connected
