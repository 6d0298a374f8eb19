"""The kubectls that operators have, from 1.32 on, against our server: a table of what people type.

The cluster is upstream's controller manager and scheduler on our API server, with nodes whose kubelets are played;
logs, exec, port-forward and cp go to a real kubelet and containerd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.setup import kubectls
from tests.compatibility import command_lines, daemons
from tests.compatibility.command_lines import CommandLine
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import Nodes, eventually
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster
from tests.contracts.kube_apiserver.test_streams import ServingNode, serving_node

pytestmark = [pytest.mark.lab, pytest.mark.nightly]


@pytest.fixture(scope="module")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]
) -> Iterator[tuple[Cluster, Wire]]:
    """Our API server with upstream's daemons and two nodes."""
    with Cluster(tmp_path_factory.mktemp("kubectls")) as cluster:
        wire = Wire(cluster)
        with (
            Nodes(wire, ("node-1", "node-2")),
            daemons.controller_manager(cluster, upstream("kube-controller-manager")),
            daemons.scheduler(cluster, upstream("kube-scheduler")),
        ):
            yield cluster, wire


@pytest.mark.parametrize("minor", sorted(kubectls.RELEASES))
def test_what_people_type(control_plane: tuple[Cluster, Wire], tmp_path: Path, minor: str) -> None:
    cluster, wire = control_plane
    namespace = f"kubectl-{minor.replace('.', '-')}"
    kubectl = CommandLine(kubectls.release(ROOT, minor), str(cluster.folder / "admin.conf"), namespace, tmp_path)
    kubectl.says("created", "create", "namespace", namespace)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually("the default account", lambda: wire.request("GET", account)[0] == 200)
    command_lines.look_around(kubectl, minor)
    command_lines.create(kubectl)
    command_lines.apply(kubectl)
    command_lines.get(kubectl)
    command_lines.change(kubectl)
    command_lines.nodes(kubectl)
    command_lines.delete(kubectl)
    kubectl.says("deleted", "delete", "namespace", namespace, "--timeout=100s")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    with serving_node(tmp_path_factory) as found:
        yield found


@pytest.mark.parametrize("minor", sorted(kubectls.RELEASES))
def test_what_goes_to_a_container(node: ServingNode, tmp_path: Path, minor: str) -> None:
    node.program = str(kubectls.release(ROOT, minor))
    assert node.run("logs", "web").stdout == b"one\ntwo\n"
    assert node.run("logs", "web", "--tail=1", "--timestamps").stdout.endswith(b"two\n")
    said = node.run("exec", "-i", "web", "--", "sh", "-c", "cat; echo no >&2; exit 3", stdin=b"in")
    assert (said.stdout, said.returncode) == (b"in", 3)
    assert said.stderr.startswith(b"no\n")
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    assert node.run("cp", str(file), f"default/web:/tmp/{minor}").returncode == 0
    assert node.run("cp", f"web:/tmp/{minor}", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert node.fetched("web", 8080, "/index.html") == [b"page\n"]
