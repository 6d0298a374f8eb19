"""An object of every kind, made, read and deleted on our server and on upstream's: the answers are alike to the member.

Members that are null are part of that: Go shows a list that is absent so where its field is always written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import resources
from tests.compatibility.wires import Wire
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

OBJECTS = list(yaml.safe_load_all((Path(__file__).parent / "objects.yaml").read_text(encoding="utf-8")))
KINDS = {(each.api_version, each.kind): each for each in resources.BUILT_IN}
# What is another thing each time that it is written, or on each server.
_OWN = re.compile(
    r"(uid|UID|[tT]ime|[tT]imestamp|resourceVersion|[cC]lusterIPs?|nodePort|healthCheckNodePort|credential-id)\S*$"
)
# What differs, by pattern of "kind: place", and why. Nothing else may, and what does no longer is to be taken out.
_ZEROS = "a zero that is said is kept, where Go leaves it out"
_FIELDS = r"metadata\.managedFields\.0\.fieldsV1\."
# How far a server has got with these when they are read is chance.
_PASSING = r"^(APIService: status|CustomResourceDefinition: (status|metadata\.managedFields))\."
KNOWN = {
    r"(livenessProbe\.(f:)?initialDelaySeconds|Columns\.0\.priority)$": _ZEROS,
    r"((f:)?globalDefault|clientConfig\.(f:)?caBundle)$": _ZEROS,
    r"^Pod: .*volumeClaimTemplate": "a claim's template in a pod has no empty metadata",
    rf"^ReplicationController: {_FIELDS}f:spec\.f:template": "a template that is a pointer, of this kind alone",
    rf"^DaemonSet: {_FIELDS}f:metadata": "the annotation of its generation is written after ownership is told",
    rf"^ControllerRevision: {_FIELDS}f:data": "upstream owns the data of a revision as a whole",
    rf"^ClusterRole: {_FIELDS}f:rules": "no rules at all, which nobody owns",
    rf"^CSINode: {_FIELDS}f:spec.f:drivers": "the list of drivers is never left out",
    _PASSING: "what controllers tell; and why a service does not answer is told in other words",
}


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[list[Wire]]:
    """Upstream's and ours."""
    folder = tmp_path_factory.mktemp("servers")
    with Cluster(folder / "theirs", program=upstream("kube-apiserver")) as theirs, Cluster(folder / "ours") as ours:
        yield [Wire(theirs), Wire(ours)]


def _different(theirs: Any, ours: Any, place: str = "") -> Iterator[str]:
    """The places of what differs, members by their names and elements by their numbers."""
    if _OWN.search(place):
        return
    if type(theirs) is type(ours) and isinstance(theirs, dict | list):
        pairs = [dict(enumerate(each)) if isinstance(each, list) else each for each in (theirs, ours)]
        for name in sorted({*pairs[0], *pairs[1]}, key=str):
            where = f"{place}.{name}".lstrip(".")
            if all(name in each for each in pairs):
                yield from _different(pairs[0][name], pairs[1][name], where)
            elif not _OWN.search(where):
                yield where
    elif theirs != ours:
        yield place


def test_answers_have_the_same_members(wires: list[Wire]) -> None:
    differing: dict[str, str] = {}

    def compare(kind: str, method: str, path: str, body: Any = None) -> None:
        (status, theirs), (other, ours) = (wire.request(method, path, body) for wire in wires)
        assert status == other, (theirs, ours)
        for place in _different(theirs, ours):
            differing.setdefault(f"{kind}: {place}", method)

    for obj in OBJECTS:
        resource = KINDS[obj["apiVersion"], obj["kind"]]
        compare(resource.kind, "POST", resource.path(obj["metadata"].get("namespace")), obj)
    for obj in reversed(OBJECTS):
        resource, metadata = KINDS[obj["apiVersion"], obj["kind"]], obj["metadata"]
        for each in resources.BUILT_IN:
            if (each.plural, each.group) == (resource.plural, resource.group):
                compare(resource.kind, "GET", each.path(metadata.get("namespace"), metadata["name"]))
        compare(resource.kind, "DELETE", resource.path(metadata.get("namespace"), metadata["name"]))
    known = {place: pattern for place in differing for pattern in KNOWN if re.search(pattern, place)}
    assert "\n".join(f"{method} {place}" for place, method in differing.items() if place not in known) == ""
    assert {*known.values(), _PASSING} == set(KNOWN)
