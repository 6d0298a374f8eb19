"""Aggregated servers may answer anything: what they serve fails alone, and all else is served as before."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator

import pytest
from hypothesis import strategies as some

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import answers, discoveries
from tests.faults.fuzzing.answers import Liar
from tests.faults.fuzzing.requests import Case
from tests.faults.fuzzing.targets import Target, counts, run

pytestmark = pytest.mark.lab

_GROUP = discoveries.GROUP
_NAME = f"v1.{_GROUP}"
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_MEMORY_MIB = 64
_DESCRIPTORS = 20
_priorities = itertools.cycle(range(10, 1000))


class Extension(Liar):
    """Says `reply` to everything but the question whether it is there."""

    def _said(self, request: bytes) -> bytes:
        if request.startswith(f"GET /apis/{_GROUP}/v1 ".encode()) and not self.everything:
            return answers.http(json.dumps(discoveries.RESOURCES).encode()).replace(b"Length: @", b"Length: %d" % _SIZE)
        self.told += 1
        return super()._said(request)

    everything = False
    told = 0


_SIZE = len(json.dumps(discoveries.RESOURCES).encode())


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extension]:
    with Extension(tmp_path_factory.mktemp("liar")) as found:
        found.reply = discoveries.sound(discoveries.RESOURCES)
        yield found


def _post(target: Target, path: str, body: object) -> None:
    status, told = target.ask(Case("POST", path, json.dumps(body).encode(), "application/json"))
    assert status == 201, told


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, liar: Extension) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        found = Target(cluster)
        service = {"metadata": {"name": "liar"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
        _post(found, "/api/v1/namespaces/default/services", service)
        spec = {
            "group": _GROUP,
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 1,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "liar", "port": liar.port},
        }
        _post(found, _SERVICES, {"metadata": {"name": _NAME}, "spec": spec})
        waits.blocked_until(lambda: _is_available(found))
        yield found
        found.close()


def _is_available(target: Target) -> bool:
    status = json.loads(target.ask(Case("GET", f"{_SERVICES}/{_NAME}"))[1]).get("status", {})
    return any(each["type"] == "Available" and each["status"] == "True" for each in status.get("conditions", ()))


def _whole(target: Target, logged: int, before: tuple[float, int]) -> None:
    """AssertionError unless all that is not the liar's is there, and nothing was left behind."""
    # Whoever was passed on a broken answer may be hung up on after it.
    target.close()
    for path in ("/api/v1/namespaces", "/apis/apps/v1", "/openapi/v3"):
        assert target.ask(Case("GET", path))[0] == 200, path
    for accept in (_DISCOVERY, "application/json"):
        status, body = target.ask(Case("GET", "/apis"), accept)
        assert status == 200
        assert discoveries.complaints(json.loads(body)) == []
    new = target.cluster.log[logged:]
    assert "Traceback" not in new, new
    assert "never retrieved" not in new, new
    memory, descriptors = before
    assert target.memory() < memory + _MEMORY_MIB
    assert target.descriptors() < descriptors + _DESCRIPTORS


_PATHS = some.sampled_from(
    [f"/apis/{_GROUP}/v1/namespaces/default/things{rest}" for rest in ("", "/one", "?watch=1", "?limit=1", "/one/log")]
)


@counts(60, 2000)
def test_answers_that_are_passed_on(target: Target, liar: Extension, examples: int) -> None:
    before = target.memory(), target.descriptors()

    def judge(case: tuple[str, bytes]) -> None:
        path, reply = case
        liar.reply, logged = reply, len(target.cluster.log)
        try:
            with target.frugal():
                status, body = target.ask(Case("GET", path))
        except (http.client.HTTPException, ConnectionError, ValueError, MemoryError):
            # An answer that ends too soon, or whose body is not what its headers say, ends so; Python makes
            # room for all that they promise.
            status, body = 0, b""
        if status == 503 and body.startswith(b"{") and b'"Status"' in body:
            assert json.loads(body)["code"] == 503
        _whole(target, logged, before)

    run(examples, some.tuples(_PATHS, answers.answers(discoveries.documents())), judge)


@counts(20, 300)
def test_discovery_and_openapi(target: Target, liar: Extension, examples: int) -> None:
    before = target.memory(), target.descriptors()

    def judge(case: tuple[bool, bytes]) -> None:
        liar.everything, liar.reply = case
        logged, told = len(target.cluster.log), liar.told
        # Another server as far as ours knows, of which nothing is known yet.
        change = json.dumps({"spec": {"versionPriority": next(_priorities)}}).encode()
        status, body = target.ask(Case("PATCH", f"{_SERVICES}/{_NAME}", change, "application/merge-patch+json"))
        assert status == 200, body
        waits.blocked_until(lambda: liar.told > told)
        asked = {}
        for path in ("/openapi/v2", f"/openapi/v3/apis/{_GROUP}/v1", f"/apis/{_GROUP}"):
            target.close()
            with target.frugal():
                asked[path] = target.ask(Case("GET", path))
        assert asked["/openapi/v2"][0] == 200
        assert discoveries.swagger_complaints(json.loads(asked["/openapi/v2"][1])) == []
        _whole(target, logged, before)

    run(examples, some.tuples(some.booleans(), discoveries.typed_answers()), judge)
    liar.everything = False
