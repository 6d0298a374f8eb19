"""Sequences of writes by several managers to our server and to upstream's: each answer and each object alike.

Not compared is what is another thing on each server: uids, revisions, times, addresses. Whether a write changed the
revision is.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import sequences
from tests.faults.fuzzing.requests import Case
from tests.faults.fuzzing.sequences import KINDS, Kind, Step
from tests.faults.fuzzing.targets import Target, run

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_EXAMPLES = 1000
_FREE = frozenset({"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "time", "clusterIP"})
# What upstream's apply leaves of a mapping or list that is stated as empty and had something before is null, which the
# object's own schema refuses; ours is empty, as it was stated. From there on the two go different ways.
_NULL = re.compile(r"must be of type (object|array): .{0,2}null")
# Addresses, and the same where messages quote an object.
_OWN = re.compile(r"10\.96\.\d+\.\d+|[0-9a-f-]{36}|20\d\d-\d\d-\d\dT[0-9:]+Z|resourceVersion\W+\d+")
_names = itertools.count()


@pytest.fixture(scope="module")
def targets(
    tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]
) -> Iterator[tuple[Target, Target]]:
    """(ours, upstream's), each on an etcd of its own."""
    folder = tmp_path_factory.mktemp("sequences")
    with Cluster(folder / "ours") as ours, Cluster(folder / "theirs", program=upstream("kube-apiserver")) as theirs:
        found = (Target(ours), Target(theirs))
        body = json.dumps(sequences.DEFINITION).encode()
        for target in found:
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            assert target.ask(Case("POST", path, body, "application/json"))[0] == 201
            waits.blocked_until(partial(_serves, target, KINDS["things"].path))
        with contextlib.closing(found[0]), contextlib.closing(found[1]):
            yield found


def _serves(target: Target, path: str) -> bool:
    return target.ask(Case("GET", path))[0] == 200


def shown(value: Any) -> Any:
    """A value without what may differ, and with owners and causes in one order."""
    if isinstance(value, dict):
        found: dict[str, Any] = {key: bool(child) if key in _FREE else shown(child) for key, child in value.items()}
        for key in ("managedFields", "causes"):
            if isinstance(found.get(key), list):
                found[key].sort(key=lambda each: json.dumps(each, sort_keys=True))
        if isinstance(found.get("clusterIPs"), list):
            found["clusterIPs"] = len(found["clusterIPs"])
        return found
    if isinstance(value, list):
        return [shown(each) for each in value]
    if not isinstance(value, str):
        return value
    text = _OWN.sub("OWN", value)
    # Go validates the entries of a map in any order.
    before, invalid, causes = text.partition(" is invalid: [")
    return f"{before}{invalid}{sorted(causes.rstrip(']').split(', '))}" if invalid else text


class Side:
    """An object on one server."""

    def __init__(self, target: Target, kind: Kind, name: str) -> None:
        self._target = target
        self._kind = kind
        self._name = name
        self._live: Any = None

    def write(self, step: Step) -> Any:
        """What is to be compared after the step: the answer, the object, whether its revision changed."""
        request = sequences.sent(self._kind, self._name, step, self._live)
        case = Case(request.method, f"{request.path}?{request.query}", request.body, request.media_type)
        status, body = self._target.ask(case)
        before = self._live
        found, read = self._target.ask(Case("GET", f"{self._kind.path}/{self._name}"))
        self._live = json.loads(read) if found == 200 else None
        changed = _revision(before) != _revision(self._live)
        return {"status": status, "answer": shown(json.loads(body)), "object": shown(self._live), "changed": changed}


def difference(ours: Any, theirs: Any) -> str:
    """Where two values differ, line by line."""
    one, other = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (ours, theirs))
    return "\n".join(difflib.unified_diff(one, other, "ours", "upstream's", lineterm="", n=4))


def _revision(obj: Any) -> str:
    return "" if obj is None else obj["metadata"]["resourceVersion"]


@pytest.mark.parametrize("name", KINDS)
def test_writes(targets: tuple[Target, Target], name: str) -> None:
    kind = KINDS[name]

    def judge(steps: list[Step]) -> None:
        called = f"s-{next(_names)}"
        ours, theirs = (Side(target, kind, called) for target in targets)
        for step in steps:
            one, two = ours.write(step), theirs.write(step)
            if _NULL.search(json.dumps(two["answer"])):
                return
            assert one == two, f"{step}\n{difference(one, two)}"

    run(_EXAMPLES, sequences.sequences(kind), judge)
