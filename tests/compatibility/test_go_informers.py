"""Informers of client-go on our server while it, and etcd below it, are killed, replaced and compacted.

With lists that come as streams and protobuf, and with neither: in the end they have what a quorum list has, and have
told of nothing twice and of nothing backwards. What they had to list again, and what client-go logged as errors, is
held against the same blows to upstream's server.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import waits
from tests.compatibility.go_clients import Program
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import MERGE, eventually
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.definitions import things

pytestmark = pytest.mark.lab

THINGS = "/apis/example.com/v1/namespaces/default/things"
BODIES: dict[str, Any] = {
    "/api/v1/namespaces/default/configmaps": {"data": {"a": "b"}},
    THINGS: {"apiVersion": "example.com/v1", "kind": "Thing", "spec": {"size": 1}},
    "/api/v1/nodes": {},
    "/api/v1/namespaces/default/pods": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
}
# What each informer follows.
LISTS = {
    "configmaps": "/api/v1/configmaps",
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "dynamic things": "/apis/example.com/v1/things",
    "metadata configmaps": "/api/v1/configmaps",
    "metadata things": "/apis/example.com/v1/things",
}
# Names are few, so that they are soon given again to objects that are others.
_NAMES = 7
_DELETED_EVERY = 4
# Upstream's server waits that long for those who watch before it ends.
_ENDING_SECONDS = 90


class Writer:
    """Creates, changes and deletes objects of all kinds, whether somebody answers or not."""

    def __init__(self) -> None:
        self._turn = 0
        self._written = 0

    @contextlib.contextmanager
    def writing(self, wire: Wire) -> Iterator[None]:
        """Write as long as the context lasts."""
        ending = threading.Event()
        thread = threading.Thread(target=self._write, args=(wire, ending))
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def more(self, count: int = 20) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = self._written + count
        waits.blocked_until(lambda: self._written >= wanted, "the writes", seconds=60)

    def _write(self, wire: Wire, ending: threading.Event) -> None:
        while not ending.is_set():
            self._turn += 1
            for path, body in BODIES.items():
                try:
                    self._written += self._one(wire, path, body) < 300
                except (OSError, http.client.HTTPException):
                    # Nobody listens just now, and nobody tells when that changes.
                    ending.wait(0.05)

    def _one(self, wire: Wire, path: str, body: Any) -> int:
        name = f"o-{self._turn % _NAMES}"
        if self._turn % _DELETED_EVERY == 0:
            return wire.request("DELETE", f"{path}/{name}?gracePeriodSeconds=0")[0]
        change = {"metadata": {"labels": {"turn": str(self._turn)}}}
        status, _ = wire.request("PATCH", f"{path}/{name}", change, MERGE)
        if status == 404:
            status, _ = wire.request("POST", path, {**body, "metadata": {"name": name}})
        return status


class Lab(NamedTuple):
    """A server, who writes to it, and the informers that follow it."""

    cluster: Cluster
    wire: Wire
    writer: Writer
    programs: Sequence[Program]


def _nothing(_lab: Lab) -> None:
    """Only writes."""


def _compacted(lab: Lab) -> None:
    """Nobody is behind: it concerns nobody."""
    lab.cluster.etcd.forget()


def _killed(lab: Lab) -> None:
    lab.cluster.stop_server(signal.SIGKILL)
    lab.cluster.start_server()


def _replaced(lab: Lab) -> None:
    lab.cluster.stop_server(signal.SIGTERM, seconds=_ENDING_SECONDS)
    lab.cluster.start_server()


def _bereft(lab: Lab) -> None:
    """Its etcd is another process, on the same data."""
    lab.cluster.etcd.stop(signal.SIGKILL)
    lab.cluster.etcd.start()


def _overslept(lab: Lab) -> None:
    """The informers come back to a server that can't know any more whether they have missed something: 410."""
    for program in lab.programs:
        program.send(signal.SIGSTOP)
    lab.writer.more()
    lab.cluster.stop_server(signal.SIGKILL)
    lab.cluster.etcd.forget()
    lab.cluster.start_server()
    for program in lab.programs:
        program.send(signal.SIGCONT)


Blow = Callable[[Lab], None]
SHORT: Sequence[Blow] = (_nothing, _compacted, _bereft, _overslept)
LONG: Sequence[Blow] = (_nothing, _compacted, _killed, _replaced, _bereft, _overslept)


class Outcome(NamedTuple):
    """Lists that each informer asked for, by blow, program and informer; what client-go complained of."""

    lists: Counter[tuple[str, str, str]]
    complaints: Counter[str]


def _there(wire: Wire) -> dict[str, dict[str, str]]:
    """What each informer ought to have: revisions by namespace/name."""
    found = {}
    for kind, path in LISTS.items():
        items = [each["metadata"] for each in wire.done("GET", path)["items"]]
        found[kind] = {f"{each.get('namespace', '')}/{each['name']}": each["resourceVersion"] for each in items}
    return found


def _converged(wire: Wire, program: Program) -> Counter[str]:
    """How often a program has listed once it has what the server has, with nothing wrong on the way."""
    there = _there(wire)

    def same() -> Any:
        report = program.asked()
        return report if {kind: each["objects"] for kind, each in report["informers"].items()} == there else None

    report = eventually(f"{program.name} has what the server has", same)
    assert not [breach for each in report["informers"].values() for breach in each["breaches"]]
    found = Counter[str]()
    for asked, count in report["requests"].items():
        verb, _, rest = asked.partition(" ")
        kind, _, status = rest.rpartition(" ")
        if verb != "watch" and status == "200":
            found[kind] += count
    return found


def _serves_things(wire: Wire) -> bool:
    return wire.request("GET", THINGS)[0] == 200


def _prepared(cluster: Cluster) -> Wire:
    """Have what the informers follow be served, and pods be made."""
    wire = Wire(cluster)
    wire.done("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", things("example.com"))
    eventually("things are served", partial(_serves_things, wire))
    account = {"metadata": {"name": "default"}}
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    eventually("an account for pods", lambda: wire.request("POST", accounts, account)[0] in (201, 409))
    return wire


@contextlib.contextmanager
def _informed(cluster: Cluster, *flags: str) -> Iterator[Sequence[Program]]:
    """Informers whose lists come as streams, and informers that list; all of them know what there is."""
    plain = ("-content-type=application/json", *flags)
    with (
        Program(cluster, "informers", "streaming", *flags, gates={"WatchListClient": True}) as streaming,
        Program(cluster, "informers", "listing", *plain, gates={"WatchListClient": False}) as listing,
    ):
        for each in (streaming, listing):
            assert each.told() == "synced"
        yield streaming, listing


def suffered(folder: Path, server: Path | None, blows: Sequence[Blow]) -> Outcome:
    """What comes of blows to a server, ours where None."""
    lists = Counter[tuple[str, str, str]]()
    with Cluster(folder, program=server) as cluster:
        wire = _prepared(cluster)
        with _informed(cluster) as programs:
            lab = Lab(cluster, wire, Writer(), programs)
            before = {each.name: Counter[str]() for each in programs}
            for blow in blows:
                with lab.writer.writing(wire):
                    lab.writer.more()
                    blow(lab)
                    lab.writer.more()
                for each in programs:
                    total = _converged(wire, each)
                    for kind, count in (total - before[each.name]).items():
                        lists[blow.__name__.strip("_"), each.name, kind] = count
                    before[each.name] = total
            # Each was told of all that can happen to an object.
            for each in programs:
                told = [set(one["told"]) for one in each.asked()["informers"].values()]
                assert told == [{"added", "changed", "deleted"}] * len(LISTS)
        if server is None:
            assert "Traceback" not in cluster.log
        return Outcome(lists, sum((each.complaints() for each in programs), Counter[str]()))


def test_informers_have_what_the_server_has_whatever_befalls_it(tmp_path: Path) -> None:
    found = suffered(tmp_path, None, SHORT)
    assert not found.complaints
    # The first list of each, none where nobody has missed anything, one where nobody can tell.
    once = {(program, kind): 1 for program in ("streaming", "listing") for kind in LISTS}
    for blow, wanted in (("nothing", once), ("compacted", {}), ("bereft", {}), ("overslept", once)):
        assert {(program, kind): n for (at, program, kind), n in found.lists.items() if at == blow} == wanted, blow


def test_informers_that_go_from_server_to_server_miss_nothing_and_list_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path / "first") as first:
        first_wire = _prepared(first)
        stores, keys = [first.etcd.endpoint], first.keys
        with (
            Cluster(tmp_path / "second", stores=stores, keys=keys) as second,
            _informed(first, f"-other={second.address}:{second.port}") as programs,
        ):
            second_wire, writer = Wire(second), Writer()
            for gone, leaving, stays in ((first, first_wire, second_wire), (second, second_wire, first_wire)):
                eventually("things are served", partial(_serves_things, stays))
                with writer.writing(leaving):
                    # What nobody has asked a server for it does not follow.
                    _there(stays)
                    writer.more()
                    gone.stop_server(signal.SIGKILL)
                with writer.writing(stays):
                    writer.more()
                for each in programs:
                    assert _converged(stays, each) == dict.fromkeys(LISTS, 1)
                gone.start_server()
            assert not [line for each in programs for line in each.complaints()]


@pytest.mark.nightly
def test_no_more_is_listed_again_nor_complained_of_than_with_upstreams_server(
    tmp_path: Path, upstream: Callable[[str], Path]
) -> None:
    theirs = suffered(tmp_path / "upstream", upstream("kube-apiserver"), LONG)
    ours = suffered(tmp_path / "ours", None, LONG)
    assert set(ours.lists.values()) == {1}
    # Which informers come back before anything else was written, and so need no list, is chance on either server.
    assert ours.lists.total() <= theirs.lists.total(), (ours.lists, theirs.lists)
    assert not set(ours.complaints) - set(theirs.complaints)
