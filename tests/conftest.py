"""The clone and the clusters that tests of whole clusters share; nothing is brought up before a test asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clusters, traces
from tests.clusters import Cluster, Namespace, Stack

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def clone() -> Iterator[Path]:
    """A copy of the tree without state; nothing of it is left afterwards."""
    if clusters.GIVEN:
        yield Path(clusters.GIVEN).resolve()
        return
    place = clusters.copy()
    yield place
    clusters.remove()


@pytest.fixture(scope="session")
def firewall_before() -> list[str]:
    """The rules of the operator's machine before any cluster was up."""
    return traces.firewall()


@pytest.fixture(scope="session", params=["dev", pytest.param("ha", marks=pytest.mark.nightly)])
def cluster(request: pytest.FixtureRequest, clone: Path, firewall_before: list[str]) -> Iterator[Cluster]:
    """A stack that is up: `dev` in every run, then `ha` in the nightly one."""
    del firewall_before
    stack = Stack(clone, request.param)
    if clusters.GIVEN:
        if stack.name != clusters.GIVEN_STACK:
            pytest.skip(f"the given cluster is {clusters.GIVEN_STACK}")
        yield clusters.connect(stack)
        return
    stack.make("up")
    yield clusters.connect(stack)
    # Gone already where the last test was to see it go.
    if stack.directory.exists():
        stack.make("destroy")


@pytest.fixture
def destroyed(cluster: Cluster) -> Stack:
    """The stack of the cluster, taken down. Tests that want this run after all others of the cluster."""
    if clusters.GIVEN:
        pytest.skip("a given cluster is not taken down")
    cluster.stack.make("destroy")
    return cluster.stack


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace of the test's own, removed with all that is in it."""
    name = f"test-{next(_NUMBERS)}"
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found")
    cluster.kubectl("create", "namespace", name)
    created = Namespace(cluster, name)
    # Pods need it, and it comes a moment after the namespace.
    created.wait("create", "serviceaccount/default")
    yield created
    # The next test does not wait for the last pod's end; the end of the cluster does.
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes a cluster down after all that uses it."""

    def cluster_of(item: pytest.Item) -> object:
        specification = getattr(item, "callspec", None)
        return None if specification is None else specification.params.get("cluster")

    def takes_down(item: pytest.Item) -> bool:
        return "destroyed" in getattr(item, "fixturenames", ())

    # Those of one cluster lie together by now.
    runs = [sorted(run, key=takes_down) for _, run in itertools.groupby(items, key=cluster_of)]
    items[:] = itertools.chain.from_iterable(runs)
