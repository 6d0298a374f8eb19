"""Lists by pages on a server that compacts every second: a token that is too old tells how to go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


async def test_a_list_goes_on_after_its_revision_is_compacted(tmp_path: Path) -> None:
    with Cluster(tmp_path, ["--etcd-compaction-interval=1s"]) as cluster:
        async with Client(kubeconfigs.load(str(tmp_path / "admin.conf")), user_agent="suite") as client:
            await client.create("namespaces", {"metadata": {"name": "pages"}})
            for name in "abcd":
                await client.create("configmaps", {"metadata": {"name": name}}, namespace="pages")
            async with cluster.session() as session:
                path = "/api/v1/namespaces/pages/configmaps?limit=2"
                async with session.get(path) as answer:
                    first = await answer.json()
                token = first["metadata"]["continue"]
                async with asyncio.timeout(30):
                    while True:
                        # Time passes only where something is written.
                        await client.patch(
                            "namespaces",
                            "pages",
                            {"metadata": {"labels": {"x": str(asyncio.get_running_loop().time())}}},
                        )
                        async with session.get(f"{path}&continue={token}") as answer:
                            told = await answer.json()
                        if answer.status == 410:
                            break
                        assert answer.status == 200
                        await asyncio.sleep(0.2)
                assert told["reason"] == "Expired"
                exact = f"&resourceVersion={first['metadata']['resourceVersion']}&resourceVersionMatch=Exact"
                async with session.get(path + exact) as answer:
                    assert answer.status == 410
                async with session.get(f"{path}&continue={told['metadata']['continue']}") as answer:
                    second = await answer.json()
            assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
            assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
            assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
