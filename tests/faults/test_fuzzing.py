"""Fuzzed requests get 4xx (or what they ask for) for at most a second of CPU, and never a 5xx.

Everything goes to a real server over TLS, so that whatever a request touches is fuzzed with it. `make test` sends some
tens of each kind, always the same; `make nightly` thousands, never the same, and hypothesis prints what failed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keelson.api.cel import programs, types
from keelson.api.cel.syntax import CelError
from keelson.api.cel.values import BudgetError, EvalError
from keelson.kube_apiserver.proxies import spdy, websockets
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import bodies, expressions, frames, objects, patches, protobufs, queries, streams, tokens
from tests.faults.fuzzing.requests import Case
from tests.faults.fuzzing.seeds import CONFIG_MAPS, CRON_JOBS, CUSTOM, NAMESPACE, PODS, SEEDS
from tests.faults.fuzzing.targets import CPU_SECONDS, Target, counts, run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster"), ["--feature-gates=CBORServingAndStorage=true"]) as cluster:
        found = Target(cluster)
        body = json.dumps({"metadata": {"name": NAMESPACE}}).encode()
        assert found.ask(Case("POST", "/api/v1/namespaces", body, "application/json"))[0] == 201
        account = json.dumps({"metadata": {"name": "default"}}).encode()
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        assert found.ask(Case("POST", path, account, "application/json"))[0] == 201
        for path, seed in SEEDS:
            if path != CUSTOM:
                answer = found.ask(Case("POST", path, json.dumps(seed).encode(), "application/json"))
                assert answer[0] == 201, answer
        cluster.kubectl("create", "-f", str(objects.OBJECTS), "--validate=false")
        yield found
        found.close()


_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_YAML, _APPLY = "application/yaml", "application/apply-patch+yaml"
_LONG = "9" * 5000
# What fuzzing has found, each mended since.
FOUND = {
    "a YAML number that is none": Case("POST", CONFIG_MAPS, b"!!int ", _YAML),
    "a YAML octal with a 9": Case("POST", CONFIG_MAPS, b"a: 0_9", _YAML),
    "a YAML number of many digits": Case("POST", CONFIG_MAPS, f"a: {_LONG}".encode(), _YAML),
    "apply with a list for metadata": Case(
        "PATCH",
        f"{CONFIG_MAPS}/seed?fieldManager=f",
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":[1]}',
        _APPLY,
    ),
    "a negative limit": Case("GET", f"{PODS}?limit=-2"),
    "a limit with two signs": Case("GET", f"{PODS}?limit=--2"),
    "a limit of many digits": Case("GET", f"{CONFIG_MAPS}?limit={_LONG}"),
    "a timeout of many digits": Case("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds={_LONG}"),
    "a revision that is no 64-bit number": Case("GET", f"{CONFIG_MAPS}?resourceVersion={'9' * 19}"),
    "a grace period with two signs": Case("DELETE", f"{CONFIG_MAPS}/seed?dryRun=All&gracePeriodSeconds=--1"),
    "a continue token far ahead": Case(
        "GET",
        f"{CONFIG_MAPS}?continue=" + queries.continue_token({"v": "meta.k8s.io/v1", "rv": 1 << 70, "start": "a/b"}),
    ),
    "a schedule of many digits": Case(
        "POST",
        f"{CRON_JOBS}?dryRun=All",
        json.dumps(
            {"metadata": {"name": "x"}, "spec": {"schedule": f"*/{_LONG} * * * *", "jobTemplate": {"spec": {}}}}
        ).encode(),
        "application/json",
    ),
    "bytes that are not ASCII": Case(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        '{"metadata":{"name":"x"},"data":{"a":"é"}}'.encode(),
        "application/json",
    ),
    "a rule with a number of many digits": expressions.rule(f"self.replicas == {_LONG}"),
}


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_what_was_found_is_mended(target: Target, case: Case) -> None:
    target.judge(case)


KINDS = {
    "JSON": bodies.json_bodies(),
    "YAML": bodies.yaml_bodies(),
    "CBOR": bodies.cbor_bodies(),
    "objects of every kind": objects.object_requests(),
    "JSON patches": patches.json_patches(),
    "merge patches": patches.object_patches(),
    "applied configurations": patches.apply_patches(),
    "lists": queries.lists(),
    "paths": queries.paths(),
    "rules": expressions.rules(),
}


@counts(80, 4000)
@pytest.mark.parametrize("kind", KINDS)
def test_requests(target: Target, kind: str, examples: int) -> None:
    run(examples, KINDS[kind], target.judge)


@pytest.fixture(scope="module")
def messages(target: Target) -> list[tuple[str, bytes]]:
    """(Path, the object in protobuf) of every kind that is stored."""
    found = []
    for resource, seed in objects.stored():
        path = resource.path(seed["metadata"].get("namespace"), seed["metadata"]["name"])
        status, body = target.ask(Case("GET", path), protobufs.MEDIA_TYPE)
        assert (status, body[:4]) == (200, b"k8s\0"), resource
        found.append((path, body))
    return found


@counts(80, 4000)
@pytest.mark.parametrize("kind", ["bytes", "fields"])
def test_protobuf(target: Target, messages: list[tuple[str, bytes]], kind: str, examples: int) -> None:
    spoiled = bodies.protobuf_bodies if kind == "bytes" else protobufs.messages
    run(examples, spoiled(messages), target.judge)


@pytest.mark.parametrize("levels", [50, 1000, 100_000])
def test_depth_in_protobuf(target: Target, levels: int) -> None:
    target.judge(protobufs.nested(levels))


def quickly(judge: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same, and an AssertionError where it takes more than a request may."""

    def timed(case: Any) -> None:
        began = time.process_time()
        judge(case)
        assert time.process_time() - began < CPU_SECONDS

    return timed


_TYPES = {"self": types.DYN, "oldSelf": types.DYN, "x": types.INT}
_VALUES = {
    "self": {"name": "12", "replicas": 0, "list": ["a", "b"] * 200, "map": {"x": 1, "y": [1.5, None, {}]}},
    "oldSelf": {"replicas": 1},
    "x": 1,
}


@counts(80, 4000)
def test_expressions(examples: int) -> None:
    """What can be compiled runs to an end, within its budget and within a second."""

    def judge(source: str) -> None:
        # It says what is wrong.
        with contextlib.suppress(CelError, EvalError, BudgetError):
            programs.compile(source, _TYPES).run(_VALUES)

    run(examples, expressions.expressions(), quickly(judge))


@counts(200, 10_000)
def test_websockets(examples: int) -> None:
    def judge(data: bytes) -> None:
        with contextlib.suppress(websockets.WebSocketError):
            websockets.Decoder().feed(data)

    run(examples, streams.websocket_frames(), quickly(judge))


@counts(200, 10_000)
def test_spdy(examples: int) -> None:
    def judge(data: bytes) -> None:
        session = spdy.Session()
        session.open({"streamtype": "stdout"})
        with contextlib.suppress(spdy.SpdyError):
            session.feed(data)

    run(examples, streams.spdy_frames(), quickly(judge))


@counts(80, 4000)
def test_tokens(target: Target, examples: int) -> None:
    """Nobody is let in by a token that was tampered with."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"
    made = json.loads(target.ask(Case("POST", path, b"{}", "application/json"))[1])["status"]["token"]

    def judge(token: str) -> None:
        review = {"spec": {"token": token}}
        with target.frugal():
            status, body = target.ask(Case("POST", _REVIEWS, json.dumps(review).encode(), "application/json"))
        if token:
            assert (status, json.loads(body)["status"].get("authenticated", False)) == (201, False), (token, body)
        else:
            assert status == 400

    run(examples, tokens.tokens(made).filter(lambda token: token != made), judge)


@counts(15, 500)
def test_http(target: Target, examples: int) -> None:
    def judge(data: bytes) -> None:
        statuses = target.raw(data)
        # 501 and 505 are HTTP's own words for a method or version that a server does not know.
        assert all(status < 500 or status in (501, 505) for status in statuses), (statuses, target.cluster.log[-3000:])

    run(examples, frames.raw_requests(), judge)
    # The connection that was kept may be closed by now: nobody spoke on it.
    target.close()
    assert target.ask(Case("GET", "/livez"))[0] == 200
