"""Options of lists and watches in any combination: our server refuses what upstream's does, in the same words.

Not asked here: resource versions ahead of the store, which both wait for, and malformed field selectors of custom
resources, which a suite of their own asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import strategies as some

from tests.compatibility.wires import Wire
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import queries
from tests.faults.fuzzing.targets import run

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_EXAMPLES = 1500
_MAPS = "/api/v1/namespaces/default/configmaps"
_PATHS = [_MAPS, "/api/v1/configmaps", "/apis/apps/v1/deployments", "/api/v1/namespaces"]
_TOKEN = queries.continue_token({"v": "meta.k8s.io/v2", "rv": 1, "start": "a"})
_VALUES = {
    "limit": ["", "0", "1", "-1", "x", "9223372036854775808"],
    "continue": ["", "x", "e30", _TOKEN],
    "resourceVersion": ["", "0", "1", "-1", "x"],
    "resourceVersionMatch": ["", "Exact", "NotOlderThan", "x"],
    "watch": ["", "true", "0", "x"],
    "sendInitialEvents": ["", "true", "false", "x"],
    "allowWatchBookmarks": ["", "true", "false", "x"],
    "labelSelector": ["", "a=b", "a in", "=", "a=b,!c", "a in (b,c)", "a/b/c=d", "a=b c"],
    "fieldSelector": ["", "metadata.name=x", "metadata.name", "spec.x=y", "metadata.namespace!=z", "metadata.name==a"],
    "timeoutSeconds": ["1", "x", "-1"],
}
_OPTIONS: some.SearchStrategy[dict[str, str]] = some.fixed_dictionaries(
    {}, optional={name: some.sampled_from(values) for name, values in _VALUES.items()}
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[tuple[Wire, Wire]]:
    """(ours, upstream's), on one etcd."""
    folder = tmp_path_factory.mktemp("options")
    with Cluster(folder / "ours") as ours:
        stores, program = [ours.etcd.endpoint], upstream("kube-apiserver")
        with Cluster(folder / "theirs", program=program, stores=stores, keys=ours.keys) as theirs:
            yield Wire(ours), Wire(theirs)


def _refusal(answer: tuple[int, Any]) -> Any:
    """What is compared: the status, and of a refusal all that is said, but for a revision that went by meanwhile."""
    status, said = answer
    if status < 400:
        return status
    return status, re.sub(r"\d{2,}", "N", json.dumps(said, sort_keys=True))


def _judge(both: tuple[Wire, Wire], case: tuple[str, dict[str, str]]) -> None:
    path, options = case
    query = "&".join(f"{name}={quote(value)}" for name, value in options.items())
    ours, theirs = (_refusal(wire.refused(f"{path}?{query}")) for wire in both)
    if isinstance(theirs, tuple) and theirs[0] == 500:
        # A malformed resourceVersion of what is selected by its name.
        return
    assert ours == theirs, f"{path}?{query}"


def test_refusals(both: tuple[Wire, Wire]) -> None:
    run(_EXAMPLES, some.tuples(some.sampled_from(_PATHS), _OPTIONS), partial(_judge, both))
