"""Fuzzed requests get 4xx (or what they ask for) for at most a second of CPU, and never a 5xx.

Everything goes to a real server over TLS, so that whatever a request touches is fuzzed with it. `make test` sends some
tens of each kind, always the same; `make nightly` thousands, never the same, and hypothesis prints what failed.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from keelson.api.cel import programs, types
from keelson.api.cel.syntax import CelError
from keelson.api.cel.values import BudgetError, EvalError
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults import fuzzed_requests as fuzzed
from tests.faults.fuzzed_requests import Case

pytestmark = pytest.mark.lab

_CPU_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MANY = [pytest.param(80, id="some"), pytest.param(4000, id="many", marks=pytest.mark.nightly)]


class Target:
    """A server that must survive, and what it spends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        certificate, key = cluster.authority.issue("fuzz", ["system:masters"])
        self._context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
        self._context.load_cert_chain(cluster.write("fuzz.crt", certificate), cluster.write("fuzz.key", key))
        self._connection: http.client.HTTPSConnection | None = None

    def _cpu(self) -> float:
        """Seconds that the server has computed so far."""
        fields = Path(f"/proc/{self.cluster.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def ask(self, case: Case, accept: str = "application/json") -> tuple[int, bytes]:
        """(status, body) of the answer."""
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "localhost", self.cluster.port, context=self._context, timeout=30
            )
        headers = {"Accept": accept, **({"Content-Type": case.media_type} if case.body else {})}
        try:
            self._connection.putrequest(case.method, case.path, skip_accept_encoding=True)
            for name, value in headers.items():
                self._connection.putheader(name, value)
            if case.body or case.method not in ("GET", "HEAD"):
                self._connection.putheader("Content-Length", str(len(case.body)))
            self._connection.endheaders(case.body or None)
            answer = self._connection.getresponse()
            body = answer.read()
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return answer.status, body

    def close(self) -> None:
        """Leave the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def judge(self, case: Case) -> None:
        """Send a request; AssertionError where the answer is not what a client of any kind deserves."""
        before = self._cpu()
        status, body = self.ask(case)
        spent = self._cpu() - before
        ahead = status == 504 and b"Too large resource version" in body
        assert status < 500 or ahead, (status, body, self.cluster.log[-3000:])
        assert spent <= _CPU_SECONDS, spent
        if status >= 400 and case.method != "HEAD" and body.startswith(b"{"):
            said = json.loads(body)
            assert (said["kind"], said["status"], said["code"]) == ("Status", "Failure", status)

    def raw(self, data: bytes) -> list[int]:
        """The statuses of the answers to bytes, after which no more are sent."""
        with (
            socket.create_connection(("127.0.0.1", self.cluster.port), timeout=10) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost") as channel,
        ):
            channel.sendall(data)
            channel.settimeout(0.2)
            answer = b""
            try:
                while part := channel.recv(65536):
                    answer += part
            except (TimeoutError, ConnectionError, ssl.SSLError):
                # It waits for the rest of a request that is right so far, or has hung up.
                pass
        lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        return [int(line.split()[1]) for line in lines]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        found = Target(cluster)
        body = json.dumps({"metadata": {"name": fuzzed.NAMESPACE}}).encode()
        assert found.ask(Case("POST", "/api/v1/namespaces", body, "application/json"))[0] == 201
        account = json.dumps({"metadata": {"name": "default"}}).encode()
        path = f"/api/v1/namespaces/{fuzzed.NAMESPACE}/serviceaccounts"
        assert found.ask(Case("POST", path, account, "application/json"))[0] == 201
        for path, seed in fuzzed.SEEDS:
            if path != fuzzed.CUSTOM:
                answer = found.ask(Case("POST", path, json.dumps(seed).encode(), "application/json"))
                assert answer[0] == 201, answer
        yield found
        found.close()


def run(examples: int, cases: some.SearchStrategy[Any], judge: Callable[[Any], None]) -> None:
    """Try this many of the cases: the same ones every time where they are few."""

    @settings(
        max_examples=examples,
        derandomize=examples < 1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(cases)
    def tried(case: Any) -> None:
        judge(case)

    tried()


_YAML, _APPLY = "application/yaml", "application/apply-patch+yaml"
_LONG = "9" * 5000
# What fuzzing has found, each mended since.
FOUND = {
    "a YAML number that is none": Case("POST", fuzzed.CONFIG_MAPS, b"!!int ", _YAML),
    "a YAML octal with a 9": Case("POST", fuzzed.CONFIG_MAPS, b"a: 0_9", _YAML),
    "a YAML number of many digits": Case("POST", fuzzed.CONFIG_MAPS, f"a: {_LONG}".encode(), _YAML),
    "apply with a list for metadata": Case(
        "PATCH",
        f"{fuzzed.CONFIG_MAPS}/seed?fieldManager=f",
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":[1]}',
        _APPLY,
    ),
    "a negative limit": Case("GET", f"{fuzzed.PODS}?limit=-2"),
    "a limit with two signs": Case("GET", f"{fuzzed.PODS}?limit=--2"),
    "a limit of many digits": Case("GET", f"{fuzzed.CONFIG_MAPS}?limit={_LONG}"),
    "a timeout of many digits": Case("GET", f"{fuzzed.CONFIG_MAPS}?watch=1&timeoutSeconds={_LONG}"),
    "a revision that is no 64-bit number": Case("GET", f"{fuzzed.CONFIG_MAPS}?resourceVersion={'9' * 19}"),
    "a grace period with two signs": Case("DELETE", f"{fuzzed.CONFIG_MAPS}/seed?dryRun=All&gracePeriodSeconds=--1"),
    "a continue token far ahead": Case(
        "GET",
        f"{fuzzed.CONFIG_MAPS}?continue="
        + fuzzed.continue_token({"v": "meta.k8s.io/v1", "rv": 1 << 70, "start": "a/b"}),
    ),
    "a schedule of many digits": Case(
        "POST",
        f"{fuzzed.CRON_JOBS}?dryRun=All",
        json.dumps(
            {"metadata": {"name": "x"}, "spec": {"schedule": f"*/{_LONG} * * * *", "jobTemplate": {"spec": {}}}}
        ).encode(),
        "application/json",
    ),
    "a rule with a number of many digits": fuzzed.rule(f"self.replicas == {_LONG}"),
}


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_what_was_found_is_mended(target: Target, case: Case) -> None:
    target.judge(case)


@pytest.mark.parametrize("examples", _MANY)
@pytest.mark.parametrize(
    "kind",
    ["json_bodies", "yaml_bodies", "json_patches", "object_patches", "apply_patches", "lists", "paths", "rules"],
)
def test_requests(target: Target, kind: str, examples: int) -> None:
    run(examples, getattr(fuzzed, kind)(), target.judge)


@pytest.mark.parametrize("examples", _MANY)
def test_protobuf(target: Target, examples: int) -> None:
    messages = []
    for path, _ in fuzzed.SEEDS:
        if path != fuzzed.CUSTOM:
            status, body = target.ask(Case("GET", f"{path}/seed"), "application/vnd.kubernetes.protobuf")
            assert (status, body[:4]) == (200, b"k8s\0")
            messages.append((path, body))
    run(examples, fuzzed.protobuf_bodies(messages), target.judge)


_TYPES = {"self": types.DYN, "oldSelf": types.DYN, "x": types.INT}
_VALUES = {
    "self": {"name": "12", "replicas": 0, "list": ["a", "b"] * 200, "map": {"x": 1, "y": [1.5, None, {}]}},
    "oldSelf": {"replicas": 1},
    "x": 1,
}


@pytest.mark.parametrize("examples", _MANY)
def test_expressions(examples: int) -> None:
    """What can be compiled runs to an end, within its budget and within a second."""

    def judge(source: str) -> None:
        began = time.process_time()
        try:
            programs.compile(source, _TYPES).run(_VALUES)
        except (CelError, EvalError, BudgetError):
            # It says what is wrong.
            pass
        assert time.process_time() - began < _CPU_SECONDS

    run(examples, fuzzed.expressions(), judge)


@pytest.mark.parametrize(
    "examples", [pytest.param(15, id="some"), pytest.param(500, id="many", marks=pytest.mark.nightly)]
)
def test_http(target: Target, examples: int) -> None:
    def judge(data: bytes) -> None:
        statuses = target.raw(data)
        # 501 and 505 are HTTP's own words for a method or version that a server does not know.
        assert all(status < 500 or status in (501, 505) for status in statuses), (statuses, target.cluster.log[-3000:])

    run(examples, fuzzed.raw_requests(), judge)
    # The connection that was kept may be closed by now: nobody spoke on it.
    target.close()
    assert target.ask(Case("GET", "/livez"))[0] == 200
