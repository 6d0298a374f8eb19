"""An operator on kopf, kr8s and the official Python client against our server, and while it is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.wires import Wire
from tests.compatibility.workloads import MERGE, eventually
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.storage.etcd_members import free_port
from tests.definitions import things

pytestmark = pytest.mark.lab

OPERATOR = Path(__file__).parent / "programs" / "thing_operator.py"
KR8S = Path(__file__).parent / "programs" / "kr8s_client.py"
PYTHON = Path(__file__).parent / "programs" / "python_client.py"
THINGS = "/apis/example.com/v1/namespaces/default/things"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "replicas": {"type": "integer"}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION = things("example.com", SCHEMA, subresources={"status": {}})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("operators")) as found:
        yield found


@pytest.fixture(scope="module")
def wire(cluster: Cluster) -> Wire:
    found = Wire(cluster)
    found.done("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
    eventually("things are served", lambda: found.request("GET", THINGS)[0] == 200)
    return found


@pytest.fixture
def operator(cluster: Cluster, wire: Wire, tmp_path: Path) -> Iterator[Path]:
    """An operator that runs; the path of its log. It must not have complained."""
    del wire
    certificate, key = cluster.authority.issue("operator", names=["localhost"])
    log, port = tmp_path / "operator.log", free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.folder / "admin.conf"),
        "CERTIFICATE": cluster.write("operator.crt", certificate),
        "KEY": cluster.write("operator.key", key),
        "AUTHORITY": str(cluster.folder / "ca.crt"),
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", "--verbose", str(OPERATOR)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            yield log
        finally:
            process.terminate()
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said
    # What it was asked to refuse it logs as an error of its own, and that nobody listens while the server is replaced.
    fine = ("Webhook 'admit' failed", "Request attempt #")
    assert not [line for line in said.splitlines() if "[ERROR" in line and not any(each in line for each in fine)]


def test_an_operator_on_kopf(wire: Wire, operator: Path) -> None:
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/operator.example.com"
    eventually("its webhook", lambda: (wire.request("GET", hooks)[1] or {}).get("webhooks"))
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": {"size": 3}}

    def refused() -> Any:
        bad = {**thing, "metadata": {"name": "bad"}, "spec": {"size": -1}}
        status, answer = wire.request("POST", f"{THINGS}?dryRun=All", bad)
        return answer["message"] if status == 422 else None

    assert "a size is not negative" in eventually("a refusal", refused)
    wire.done("POST", THINGS, thing)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = wire.done("GET", f"{THINGS}/one").get("status") or {}
        return found

    eventually("a size, a result and three ticks", lambda: _has(status(), size=3, made={"of": 3}, ticks=3))
    assert wire.done("GET", f"{THINGS}/one")["metadata"]["finalizers"]
    wire.done("PATCH", f"{THINGS}/one", {"spec": {"size": 4}}, MERGE)
    eventually("the other size", lambda: _has(status(), size=4))
    events = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=one,reason=Made"
    eventually("an event", lambda: wire.done("GET", events)["items"])
    wire.done("DELETE", f"{THINGS}/one")
    eventually("its end", lambda: wire.request("GET", f"{THINGS}/one")[0] == 404)
    assert "[default/one] a thing goes" in operator.read_text(encoding="utf-8")


@pytest.mark.nightly
def test_an_operator_goes_on_with_a_server_that_was_replaced_and_a_history_that_is_gone(
    cluster: Cluster, wire: Wire, operator: Path
) -> None:
    del operator
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "lasting"}, "spec": {"size": 3}}

    def has_size(wanted: int) -> bool:
        return _has(wire.done("GET", f"{THINGS}/lasting").get("status") or {}, size=wanted)

    # Its webhook may not be served yet, and says so.
    eventually("a thing", lambda: wire.request("POST", THINGS, thing)[0] in (201, 409))
    eventually("its size", lambda: has_size(3))
    for number, ending in enumerate((signal.SIGTERM, signal.SIGKILL)):
        cluster.stop_server(ending)
        cluster.etcd.forget()
        cluster.start_server()
        wire.done("PATCH", f"{THINGS}/lasting", {"spec": {"size": 10 + number}}, MERGE)
        eventually("the size that it was given meanwhile", partial(has_size, 10 + number))
    wire.done("DELETE", f"{THINGS}/lasting")
    eventually("its end", lambda: wire.request("GET", f"{THINGS}/lasting")[0] == 404)


def _has(found: dict[str, Any], **wanted: Any) -> bool:
    return all(found.get(field) == value for field, value in wanted.items())


@pytest.mark.usefixtures("wire")
def test_kr8s(cluster: Cluster) -> None:
    # A process of its own: it leaves the connection of an ended watch to the garbage collector.
    command = [sys.executable, str(KR8S), str(cluster.folder / "admin.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.nightly
@pytest.mark.usefixtures("wire")
def test_the_python_client(cluster: Cluster) -> None:
    command = [sys.executable, str(PYTHON), str(cluster.folder / "admin.conf")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() == "restart\n":
                cluster.stop_server(signal.SIGKILL)
                cluster.etcd.forget()
                cluster.start_server()
            _, complaints = process.communicate("go on\n", timeout=150)
        finally:
            process.kill()
    assert process.returncode == 0, complaints
