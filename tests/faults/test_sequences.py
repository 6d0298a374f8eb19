"""Whatever is written in whatever order, what is said of it holds: by whom a field is owned, what a dry run foretells.

What upstream's server makes of the same sequences is compared in `tests/compatibility/test_write_sequences.py`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import sequences
from tests.faults.fuzzing.requests import DRY, Case
from tests.faults.fuzzing.sequences import KINDS, Step
from tests.faults.fuzzing.targets import Target, counts, run

pytestmark = pytest.mark.lab

# A Service that gives up its affinity loses this once it is settled who owns what, on upstream's server too.
_DROPPED = "f:sessionAffinityConfig"
_names = itertools.count()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        found = Target(cluster)
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        body = json.dumps(sequences.DEFINITION).encode()
        assert found.ask(Case("POST", path, body, "application/json"))[0] == 201
        waits.blocked_until(lambda: found.ask(Case("GET", KINDS["things"].path))[0] == 200)
        yield found
        found.close()


def _foretold(body: bytes) -> Any:
    """An answer without what is known only once something is stored."""
    found = json.loads(body)
    for each in found["metadata"].get("managedFields", ()):
        each.pop("time", None)
    for key in ("resourceVersion", "uid", "creationTimestamp"):
        found["metadata"].pop(key, None)
    for key in ("clusterIP", "clusterIPs"):
        found.get("spec", {}).pop(key, None)
    return found


@counts(25, 1000)
@pytest.mark.parametrize("name", KINDS)
def test_writes(target: Target, name: str, examples: int) -> None:
    """Nobody owns what is not there, a dry run answers as the write does, an apply done again changes nothing."""
    kind = KINDS[name]

    def judge(steps: list[Step]) -> None:
        called = f"s-{next(_names)}"
        get = Case("GET", f"{kind.path}/{called}")
        live = None
        for each in steps:
            # Upstream's apply takes away a mapping that holds nothing but empty lists, whoever states the mapping.
            step = each._replace(spec=sequences.without(each.spec, ([],)), status=sequences.without(each.status, ([],)))
            request = sequences.sent(kind, called, step, live)
            case = Case(request.method, f"{request.path}?{request.query}", request.body, request.media_type)
            dry = target.ask(case._replace(path=f"{case.path}&{DRY}"))
            status, body = target.ask(case)
            assert dry[0] == status < 500, (step, dry, body)
            found, read = target.ask(get)
            live = json.loads(read) if found == 200 else None
            if status >= 300:
                continue
            assert _foretold(dry[1]) == _foretold(body), step
            assert live == json.loads(body)
            assert not [each for each in sequences.unfounded(live) if not each.endswith(_DROPPED)], step
            # An object that nobody owns anything of gets an owner by the next apply.
            if step.verb == "apply" and live["metadata"].get("managedFields"):
                assert target.ask(case) == (200, read), step

    run(examples, sequences.sequences(kind), judge)
