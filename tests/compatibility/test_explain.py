"""kubectl explains every kind of every version on our server as on upstream's, all fields of it."""

from __future__ import annotations

import concurrent.futures
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.setup import kubectls
from keelson.api import resources
from keelson.api.resources import Resource
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# Fields with enumerations.
FIELDS = (
    "pods.spec.restartPolicy",
    "pods.spec.containers.imagePullPolicy",
    "pods.spec.containers.ports.protocol",
    "persistentvolumes.spec.persistentVolumeReclaimPolicy",
    "services.spec.type",
    "deployments.spec.strategy.type",
)
# What upstream says of single values of enumerations is in no published definition.
_WORDS = re.compile(r'(- `"[^"\n]*"`) \S[^\n]*(\n(?!\s*- `|\s*\n)[^\n]+)*')


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[list[Cluster]]:
    """Upstream's and ours."""
    folder = tmp_path_factory.mktemp("servers")
    with Cluster(folder / "theirs", program=upstream("kube-apiserver")) as theirs, Cluster(folder / "ours") as ours:
        yield [theirs, ours]


def _explained(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run(
        [str(kubectls.release(ROOT, "1.36")), f"--kubeconfig={cluster.folder / 'admin.conf'}", "explain", *arguments],
        capture_output=True,
        timeout=60,
        check=False,
        env={"HOME": str(cluster.folder), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return _WORDS.sub(r"\1", done.stdout.decode())


def _differs(servers: list[Cluster], *arguments: str) -> bool:
    theirs, ours = (_explained(each, *arguments) for each in servers)
    return theirs != ours


def test_every_kind_is_explained_alike(servers: list[Cluster]) -> None:
    def differs(resource: Resource) -> bool:
        return _differs(servers, resource.plural, "--recursive", f"--api-version={resource.api_version}")

    kinds = [each for each in resources.BUILT_IN if "get" in each.verbs]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        differing = [each.qualified for each, found in zip(kinds, pool.map(differs, kinds), strict=True) if found]
    assert differing == []


@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_explained_alike(servers: list[Cluster], field: str) -> None:
    assert "ENUM:" in _explained(servers[1], field)
    assert not _differs(servers, field)
