"""/statusz and /flagz of a real server: who sees them, as text and as kinds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


async def _page(cluster: Cluster, path: str, accept: str = "") -> tuple[int, str]:
    headers = {"Accept": accept} if accept else {}
    session = cluster.session("watchman", ["system:monitoring"])
    async with session, session.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_people_read_text(cluster: Cluster) -> None:
    status, text = await _page(cluster, "/statusz")
    assert status == 200
    assert "kube-apiserver statusz\nWarning: This endpoint is not meant to be machine parseable" in text
    assert "Paths: /flagz /healthz /livez /metrics /readyz /statusz /version" in text
    status, text = await _page(cluster, "/flagz", "text/plain")
    lines = text.splitlines()
    assert status == 200
    assert {"authorization-mode=[Node,RBAC]", "request-timeout=1m0s", "allow-privileged=true"} <= set(lines)


async def test_programs_ask_for_a_kind(cluster: Cluster) -> None:
    _, text = await _page(cluster, "/statusz", "application/json;as=Statusz;v=v1beta1;g=config.k8s.io")
    found: dict[str, Any] = yaml.safe_load(text)
    assert (found["kind"], found["apiVersion"]) == ("Statusz", "config.k8s.io/v1beta1")
    assert found["metadata"] == {"name": "kube-apiserver"}
    assert found["emulationVersion"] == "1.36"
    _, text = await _page(cluster, "/flagz", "application/yaml;v=v1alpha1;g=config.k8s.io;as=Flagz")
    found = yaml.safe_load(text)
    assert (found["apiVersion"], found["flags"]["authorization-mode"]) == ("config.k8s.io/v1alpha1", "[Node,RBAC]")


async def test_others_get_neither(cluster: Cluster) -> None:
    for accept in ("application/json", "application/json;as=Statusz;v=v9;g=config.k8s.io", "image/png"):
        assert (await _page(cluster, "/statusz", accept))[0] == 406
    async with cluster.session("eve", []) as session:
        for path in ("/statusz", "/flagz"):
            async with session.get(path) as answer:
                assert answer.status == 403
