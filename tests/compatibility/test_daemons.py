"""Upstream's controller manager, scheduler and proxy run against our API server as against upstream's.

The same work is done on upstream's server and on ours, in turns; whatever the daemons log as an error against ours,
they must have logged against upstream's too. What they log of races happens on either server, and is counted: on ours
it may not happen more often. They write protobuf, and the scheduler and the proxy take nothing else. All of it lives in
a network namespace of its own, because the proxy writes its rules into it.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compatibility import daemons
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import Nodes, Work
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_proxy.networks import entered, run

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_RUNS = 3
# Two writers met, or a controller came back before its informer had seen what it wrote: it says so and tries again.
# The second tells how long after a write's answer its event comes.
_RACES = ("the object has been modified; please apply", "is not as new as written version")
# Counts of rare events that do not depend on each other scatter by the root of their sum. Three times that is exceeded
# by chance once in several hundred nights; twice as many on ours, as when events followed answers, is far beyond it.
_DEVIATIONS = 3


@pytest.fixture
def inside() -> Iterator[None]:
    """This thread, and all that it starts, in a network namespace that has nothing but its loopback."""
    namespace = f"kc{os.getpid()}"
    run("ip", "netns", "add", namespace)
    try:
        run("ip", "netns", "exec", namespace, "ip", "link", "set", "lo", "up")
        with entered(namespace):
            yield
    finally:
        run("ip", "netns", "delete", namespace)


def complaints(folder: Path, upstream: Callable[[str], Path], server: Path | None) -> Counter[str]:
    """What the daemons log as errors while they do the work on a server, upstream's or ours where None."""
    with Cluster(folder, program=server) as cluster:
        wire = Wire(cluster)
        with (
            Nodes(wire, ("node-1", "node-2")),
            daemons.controller_manager(cluster, upstream("kube-controller-manager")) as manager,
            daemons.scheduler(cluster, upstream("kube-scheduler")) as scheduler,
            daemons.proxy(cluster, upstream("kube-proxy"), "node-1") as proxy,
        ):
            Work(wire, "work").run()
        found = manager.complaints() + scheduler.complaints() + proxy.complaints()
        if server is None:
            assert "Traceback" not in cluster.log
        return found


@pytest.mark.usefixtures("inside")
def test_daemons_log_no_error_that_they_do_not_log_against_upstream(
    tmp_path: Path, upstream: Callable[[str], Path]
) -> None:
    theirs, ours = Counter[str](), Counter[str]()
    for number in range(_RUNS):
        theirs += complaints(tmp_path / f"upstream-{number}", upstream, upstream("kube-apiserver"))
        ours += complaints(tmp_path / f"ours-{number}", upstream, None)
    assert not [line for line in ours if line not in theirs and not any(race in line for race in _RACES)]
    for race in _RACES:
        expected, found = (sum(count for line, count in each.items() if race in line) for each in (theirs, ours))
        assert found <= expected + _DEVIATIONS * math.sqrt(expected + found), (race, found, expected)
