"""Our server and upstream's on one etcd at once: what a cluster is while it moves from the one to the other.

Each sees at once what the other writes, none overwrites what the other wrote in between, and what is allocated by the
one is taken for the other.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.compatibility.wires import Wire
from tests.compatibility.workloads import MERGE, eventually
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[tuple[Wire, Wire]]:
    """(ours, upstream's)."""
    folder = tmp_path_factory.mktemp("both")
    with Cluster(folder / "ours") as ours:
        program = upstream("kube-apiserver")
        stores = [ours.etcd.endpoint]
        with Cluster(folder / "theirs", program=program, stores=stores, keys=ours.keys) as theirs:
            yield Wire(ours), Wire(theirs)


def test_each_watches_what_the_other_writes(both: tuple[Wire, Wire]) -> None:
    for number, (writer, watcher) in enumerate((both, both[::-1])):
        version = watcher.done("GET", MAPS)["metadata"]["resourceVersion"]
        made = writer.done("POST", MAPS, {"metadata": {"name": f"seen-{number}"}, "data": {"a": "b"}})
        writer.done("PATCH", f"{MAPS}/seen-{number}", {"data": {"a": "c"}}, MERGE)
        writer.done("DELETE", f"{MAPS}/seen-{number}")
        events = watcher.watch(f"{MAPS}?resourceVersion={version}", 3)
        assert [each["type"] for each in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert events[0]["object"] == {**made, "kind": "ConfigMap", "apiVersion": "v1"}


def test_a_read_after_the_others_write_is_never_old(both: tuple[Wire, Wire]) -> None:
    ours, theirs = both
    ours.done("POST", MAPS, {"metadata": {"name": "fresh"}, "data": {"n": "0"}})
    for number in range(1, 41):
        writer, reader = (ours, theirs) if number % 2 else (theirs, ours)
        writer.done("PATCH", f"{MAPS}/fresh", {"data": {"n": str(number)}}, MERGE)
        assert reader.done("GET", f"{MAPS}/fresh")["data"]["n"] == str(number)
        items = reader.done("GET", f"{MAPS}?fieldSelector=metadata.name=fresh")["items"]
        assert items[0]["data"]["n"] == str(number)


def test_no_write_is_lost_between_them(both: tuple[Wire, Wire]) -> None:
    both[0].done("POST", MAPS, {"metadata": {"name": "counted"}, "data": {"n": "0"}})

    def count(wire: Wire, times: int) -> None:
        done = 0
        while done < times:
            obj = wire.done("GET", f"{MAPS}/counted")
            obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
            status, answer = wire.request("PUT", f"{MAPS}/counted", obj)
            assert status in (200, 409), answer
            done += status == 200

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(count, wire, 15) for wire in (*both, *both)]:
            each.result()
    assert both[0].done("GET", f"{MAPS}/counted")["data"]["n"] == "60"


def test_no_address_is_given_twice(both: tuple[Wire, Wire]) -> None:
    def make(wire: Wire, name: str) -> tuple[str, int]:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        made = wire.done("POST", SERVICES, {"metadata": {"name": name}, "spec": spec})["spec"]
        return made["clusterIP"], made["ports"][0]["nodePort"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(make, wire, f"s-{number}-{n}") for number in range(10) for n, wire in enumerate(both)]
        found = [each.result() for each in futures]
    assert len({address for address, _ in found}) == len({port for _, port in found}) == 20


def _serves(wire: Wire, path: str) -> bool:
    return wire.request("GET", path)[0] == 200


def test_a_definition_is_served_by_both(both: tuple[Wire, Wire]) -> None:
    for number, (writer, other) in enumerate((both, both[::-1])):
        group = f"g{number}.example.com"
        spec_schema = {"type": "object", "properties": {"size": {"type": "integer", "default": 7}}}
        schema = {"type": "object", "properties": {"spec": spec_schema}}
        definition = {
            "metadata": {"name": f"things.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
            },
        }
        writer.done("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        things = f"/apis/{group}/v1/namespaces/default/things"
        for wire in (writer, other):
            eventually("things are served", partial(_serves, wire, things))
        thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {}}
        made = writer.done("POST", things, thing)
        assert made["spec"] == {"size": 7}
        assert other.done("GET", f"{things}/t") == made
