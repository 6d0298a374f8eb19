"""A controller on client-go against other writers and a server that is replaced, and what its event recorders record.

It makes a ConfigMap of each Thing by server-side apply (typed, so in protobuf), writes the Thing's status by update on
what its cache has, and begins again on conflicts. Its events are counted by upstream's rules: events.k8s.io makes a
series of what comes again, the old API counts it and combines what is much alike.
"""

from __future__ import annotations

import concurrent.futures
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.go_clients import Program
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import MERGE, eventually
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.definitions import things

pytestmark = pytest.mark.lab

MAPS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/example.com/v1/namespaces/default/things"
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {"type": "object", "properties": {"spec": FREE, "status": FREE}}
EVENTS = "/api/v1/namespaces/default/events"
NAMES = [f"t-{number}" for number in range(8)]
# Theirs before: the controller meets other owners of its field there.
TAKEN = NAMES[:3]
_CHANGES = 15

# Reason, message, count, and count of the series.
Recorded = tuple[str, str, int | None, int | None]
# Of each object client-go tells nine that are much alike and combines the rest, it counts what is the same, and has the
# second of a series written at once, later ones when it ends.
RECORDED: set[Recorded] = {
    *(("Alike", f"number {number}", 1, None) for number in range(9)),
    ("Alike", "(combined from similar events): number 11", 3, None),
    ("Counted", f"made of {NAMES[0]}", 3, None),
    ("Made", f"made of {NAMES[0]}", None, 2),
}


def _compete(wire: Wire, name: str) -> None:
    """Change a Thing again and again, so that whoever updates it has an old one."""
    for number in range(_CHANGES):
        wire.done("PATCH", f"{THINGS}/{name}", {"metadata": {"labels": {"n": str(number)}}}, MERGE)


def _made(wire: Wire, name: str, size: int) -> Any:
    """The ConfigMap of a Thing, once that and the status say this size."""

    def found() -> Any:
        status, made = wire.request("GET", f"{MAPS}/{name}")
        noted = wire.done("GET", f"{THINGS}/{name}").get("status") or {}
        return made if status == 200 and made["data"] == {"size": str(size)} and noted.get("made") == size else None

    return eventually(f"{name} of size {size}", found)


def _owners(made: Any) -> dict[str, str]:
    """Who owns data.size, and by which operation."""
    return {
        entry["manager"]: entry["operation"]
        for entry in made["metadata"]["managedFields"]
        if "f:size" in entry["fieldsV1"].get("f:data", {})
    }


def reconciled(folder: Path, server: Path | None) -> Counter[str]:
    """Have the controller do its work on a server, ours where None; what client-go complained of."""
    with Cluster(folder, program=server) as cluster:
        wire = Wire(cluster)
        wire.done(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            things("example.com", SCHEMA, subresources={"status": {}}),
        )
        eventually("things are served", lambda: wire.request("GET", THINGS)[0] == 200)
        for name in TAKEN:
            wire.done("POST", MAPS, {"metadata": {"name": name}, "data": {"size": "0"}})
        with Program(cluster, "controller", "controller") as controller:
            assert controller.told() == "synced"
            for name in NAMES:
                thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}}
                wire.done("POST", THINGS, {**thing, "spec": {"size": 1}})
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for each in [pool.submit(_compete, wire, name) for name in NAMES]:
                    each.result()
            for name in NAMES:
                assert _owners(_made(wire, name, 1)) == {"thing-controller": "Apply"}
            cluster.stop_server(signal.SIGKILL)
            cluster.start_server()
            for name in NAMES:
                wire.done("PATCH", f"{THINGS}/{name}", {"spec": {"size": 2}}, MERGE)
            for name in NAMES:
                _made(wire, name, 2)
            assert controller.asked()["conflicts"] >= len(TAKEN)
            controller.asked(NAMES[0])
            eventually("the events", lambda: _events(wire) == RECORDED)
        if server is None:
            assert "Traceback" not in cluster.log
        return controller.complaints()


def _events(wire: Wire) -> set[Recorded]:
    return {
        (event["reason"], event["message"], event.get("count"), (event.get("series") or {}).get("count"))
        for event in wire.done("GET", EVENTS)["items"]
    }


def test_a_controller_brings_about_what_it_shall_whoever_else_writes(tmp_path: Path) -> None:
    assert not reconciled(tmp_path, None)


@pytest.mark.nightly
def test_it_does_the_same_with_upstreams_server(tmp_path: Path, upstream: Callable[[str], Path]) -> None:
    assert not reconciled(tmp_path, upstream("kube-apiserver"))
