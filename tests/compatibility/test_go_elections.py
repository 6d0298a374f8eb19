"""Candidates of client-go's leader election: one leads at a time, whoever is killed, also by another server."""

from __future__ import annotations

import itertools
import queue
import signal
from pathlib import Path

import pytest

from tests.compatibility.go_clients import Program
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import eventually
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/elected"
# What tools/clients stands for election with: the lease's duration, and how often it is asked for with client-go's
# jitter. A second and a half is for a machine that is busy.
_LEASE_SECONDS = 6.0
_RETRY_SECONDS = 0.5 * 2.2 + 1.5


# What is complained of while no server listens, and where two ask for a lease that is free.
EXPECTED = (
    *("connection refused", "connection reset", "EOF", "deadline exceeded"),
    *("already exists", "the object has been modified"),
)


class Beats:
    """Who said that it leads, and when, in seconds; each says so twenty times a second."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def drain(self, program: Program) -> None:
        """Take what a program has told until now."""
        while True:
            try:
                line = program.lines.get_nowait()
            except queue.Empty:
                return
            self.told.append((line["at"] / 1e9, line["leader"]))

    def next(self, program: Program) -> float:
        """When a program says next that it leads."""
        self.drain(program)
        line = program.told()
        self.told.append((line["at"] / 1e9, line["leader"]))
        return self.told[-1][0]

    def reigns(self) -> list[str]:
        """The leaders in their order; those who lead at the same time are in turns."""
        return [name for name, _ in itertools.groupby(name for _, name in sorted(self.told))]


def _stands(program: Program) -> None:
    """Wait until a candidate has asked for the lease."""
    eventually(f"{program.name} stands", lambda: "Attempting to acquire leader lease" in program.log)


def test_the_next_leads_when_the_leader_is_gone_and_not_before(tmp_path: Path) -> None:
    beats = Beats()
    with (
        Cluster(tmp_path) as cluster,
        Program(cluster, "candidate", "first") as first,
        Program(cluster, "candidate", "second") as second,
        Program(cluster, "candidate", "third") as third,
    ):
        wire, programs = Wire(cluster), {each.name: each for each in (first, second, third)}
        for each in programs.values():
            _stands(each)

        def holder() -> str:
            status, lease = wire.request("GET", LEASE)
            return str(lease["spec"].get("holderIdentity") or "") if status == 200 else ""

        def succeeded(number: signal.Signals) -> float:
            """How long after the leader's end another one leads."""
            gone = programs.pop(eventually("a leader", holder))
            beats.next(gone)
            gone.end(number)
            beats.drain(gone)
            ended = beats.told[-1][0]
            heir = programs[eventually("another leader", lambda: holder() if holder() in programs else "")]
            return beats.next(heir) - ended

        # The last renewal was a moment before its end.
        assert _LEASE_SECONDS - 2 < succeeded(signal.SIGKILL) < _LEASE_SECONDS + _RETRY_SECONDS
        cluster.stop_server(signal.SIGKILL)
        cluster.start_server()
        before = wire.done("GET", LEASE)["spec"]["renewTime"]
        eventually("the lease is renewed", lambda: wire.done("GET", LEASE)["spec"]["renewTime"] != before)
        # It gives the lease back.
        assert succeeded(signal.SIGTERM) < _RETRY_SECONDS
        for each in programs.values():
            each.end()
            beats.drain(each)
        lease = wire.done("GET", LEASE)["spec"]
    assert len(beats.reigns()) <= lease["leaseTransitions"] + 1, beats.reigns()
    complaints = first.complaints() + second.complaints() + third.complaints()
    assert not [line for line in complaints if not any(each in line for each in EXPECTED)]
