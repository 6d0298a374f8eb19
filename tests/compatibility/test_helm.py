"""Helm against our server: a chart with a resource definition, hooks and a test is installed, changed and removed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.setup import helms
from tests.compatibility import daemons
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import Nodes
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

CHART = Path(__file__).parent / "charts" / "site"
SPACE = "/namespaces/helm"


class Helm:
    """One Helm with a home of its own, on one cluster."""

    def __init__(self, program: Path, cluster: Cluster, home: Path) -> None:
        self._program = program
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(cluster.folder / "admin.conf")}
        self.wire = Wire(cluster)

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command says on both streams; it must end with this exit code."""
        done = subprocess.run(
            [str(self._program), "--namespace=helm", *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=self._environment,
        )
        assert done.returncode == code, f"helm {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def revisions(self) -> list[tuple[int, str]]:
        """(number, state) of every revision of the release."""
        found = json.loads(self.run("history", "site", "--output=json"))
        return [(each["revision"], each["status"]) for each in found]

    def get(self, group: str, plural: str, name: str = "site") -> Any:
        """An object of the release, None where it is gone."""
        status, found = self.wire.request("GET", f"{group}{SPACE}/{plural}/{name}")
        return found if status == 200 else None


@pytest.fixture
def helm(tmp_path: Path, upstream: Callable[[str], Path]) -> Iterator[Helm]:
    """Helm on our API server, with upstream's daemons and nodes that are played."""
    with Cluster(tmp_path / "cluster") as cluster:
        found = Helm(helms.build(ROOT), cluster, tmp_path)
        with (
            Nodes(found.wire, ("node-1", "node-2")),
            daemons.controller_manager(cluster, upstream("kube-controller-manager")),
            daemons.scheduler(cluster, upstream("kube-scheduler")),
        ):
            yield found


def test_the_life_of_a_release(helm: Helm) -> None:
    waiting = ("--wait", "--timeout=100s")
    assert "pages.site.example.com" in helm.run("show", "crds", str(CHART))
    helm.run("install", "site", str(CHART), "--create-namespace", *waiting)
    assert helm.get("/apis/apps/v1", "deployments")["status"]["availableReplicas"] == 2
    assert helm.get("/apis/site.example.com/v1", "pages")["spec"] == {"title": "hello"}
    settings = helm.get("/api/v1", "configmaps")
    assert settings["data"] == {"greeting": "hello", "revision": "1"}
    assert settings["metadata"]["annotations"]["has-deployments"] == "true"
    assert helm.get("/apis/batch/v1", "jobs", "site-pre-install")["status"]["succeeded"] == 1
    helm.run("test", "site")
    assert helm.get("/api/v1", "pods", "site-test") is None

    helm.run("upgrade", "site", str(CHART), "--set=replicas=3,greeting=again", *waiting)
    assert helm.get("/apis/apps/v1", "deployments")["status"]["updatedReplicas"] == 3
    # Looked up on the server this time: the namespace is there.
    assert helm.get("/api/v1", "configmaps")["metadata"]["annotations"]["looked-up"] == "helm"
    assert helm.get("/apis/batch/v1", "jobs", "site-post-upgrade")["status"]["succeeded"] == 1
    assert "replicas: 3" in helm.run("get", "values", "site")
    assert "kind: Page" in helm.run("get", "manifest", "site")
    assert "deployed" in helm.run("status", "site")
    assert "site-1.0.0" in helm.run("list", "--all")

    # The page's schema refuses an empty title: what was changed so far is taken back.
    said = helm.run("upgrade", "site", str(CHART), "--set=greeting=", "--atomic", *waiting, code=1)
    assert "spec.title" in said
    assert helm.get("/api/v1", "configmaps")["data"]["greeting"] == "again"
    assert helm.revisions() == [(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]

    helm.run("rollback", "site", "1", *waiting)
    assert helm.get("/apis/apps/v1", "deployments")["spec"]["replicas"] == 2
    assert helm.get("/apis/site.example.com/v1", "pages")["spec"] == {"title": "hello"}
    assert helm.revisions()[-2:] == [(4, "superseded"), (5, "deployed")]
    rendered = helm.run("upgrade", "site", str(CHART), "--dry-run=server", "--set=replicas=7")
    assert "replicas: 7" in rendered
    assert helm.get("/apis/apps/v1", "deployments")["spec"]["replicas"] == 2

    helm.run("uninstall", "site", "--cascade=foreground", *waiting)
    for group, plural in (
        ("/api/v1", "configmaps"),
        ("/api/v1", "services"),
        ("/apis/apps/v1", "deployments"),
        ("/apis/site.example.com/v1", "pages"),
    ):
        assert helm.get(group, plural) is None
    assert helm.wire.done("GET", f"/api/v1{SPACE}/secrets?labelSelector=owner=helm")["items"] == []
    assert helm.get("/apis/batch/v1", "jobs", "site-post-delete")["status"]["succeeded"] == 1
