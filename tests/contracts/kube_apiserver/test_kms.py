"""KMS v2 on a real server: what lies in etcd, rotation and re-encryption, a key service that is gone for a while."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import aiohttp
import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.storage.key_services import KeyService

pytestmark = pytest.mark.lab

_SECRETS = "/api/v1/namespaces/default/secrets"
_PLAIN = base64.b64encode(b"plain text").decode()


def _configure(path: Path, *providers: str) -> None:
    path.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
        f"resources: [{{resources: [secrets], providers: [{', '.join(providers)}]}}]\n"
    )


async def _eventually(cluster: Cluster, path: str, status: int) -> None:
    async with cluster.session() as session:

        async def answered() -> bool:
            try:
                async with session.get(path) as answer:
                    return answer.status == status
            except aiohttp.ClientConnectorError:
                # It is not up yet.
                return False

        await waits.until(answered, f"{path}: {status}", seconds=30)


async def test_secrets_are_kept_with_a_service(tmp_path: Path) -> None:
    path = tmp_path / "encryption.yaml"
    service = KeyService(tmp_path / "kms.sock")
    kms = f"{{kms: {{apiVersion: v2, name: mine, endpoint: '{service.endpoint}', timeout: 1s}}}}"
    key = base64.b64encode(b"k" * 32).decode()
    secretbox = f"{{secretbox: {{keys: [{{name: one, secret: {key}}}]}}}}"
    _configure(path, secretbox, "{identity: {}}")
    flags = [f"--encryption-provider-config={path}", "--encryption-provider-config-automatic-reload"]
    stored = "/registry/secrets/default/one"
    with service, Cluster(tmp_path / "cluster", flags) as cluster:
        async with cluster.session() as session:
            body = {"metadata": {"name": "one"}, "data": {"a": _PLAIN}}
            async with session.post(_SECRETS, json=body) as answer:
                assert answer.status == 201
        assert (await cluster.stored(stored)).startswith(b"k8s:enc:secretbox:v1:one:")

        # Another provider is put before the old one while the server serves; replacing what is there renews it.
        _configure(path, kms, secretbox, "{identity: {}}")
        await _eventually(cluster, "/readyz/kms-providers", 200)

        async def renewed(prefix: bytes) -> bool:
            await asyncio.to_thread(
                cluster.kubectl, "replace", "-f", "-",
                input=await asyncio.to_thread(cluster.kubectl, "get", "secrets", "-A", "-o", "json"),
            )  # fmt: skip
            return (await cluster.stored(stored)).startswith(prefix)

        await waits.until(lambda: renewed(b"k8s:enc:kms:v2:mine:"), seconds=30)
        first = await cluster.stored(stored)
        assert b"plain text" not in first
        # What is written with the present key is left alone.
        assert await renewed(b"k8s:enc:kms:v2:mine:")
        assert await cluster.stored(stored) == first

        # Another key: what it does not encrypt yet is renewed by a write of the same.
        service.rotate()
        cluster.stop_server()
        cluster.start_server()
        assert await renewed(b"k8s:enc:kms:v2:mine:")
        second = await cluster.stored(stored)
        assert second != first
        assert b"key-2" in second

        # Without the service the server is not ready and answers, and it has lost nothing when the service is back.
        cluster.stop_server()
        service.__exit__(None, None, None)
        cluster.launch_server()
        await _eventually(cluster, "/livez", 200)
        await _eventually(cluster, "/readyz", 500)
        async with cluster.session() as session:
            async with session.get("/api/v1/namespaces/default") as answer:
                assert answer.status == 200
            async with session.post(_SECRETS, json={"metadata": {"name": "two"}}) as answer:
                assert answer.status == 500
                assert "can't encrypt" in (await answer.json())["message"]
            async with session.get(f"{_SECRETS}/one?timeout=2s") as answer:
                assert answer.status in (500, 504)
        with service:
            await _eventually(cluster, "/readyz", 200)
            async with cluster.session() as session, session.get(f"{_SECRETS}/one") as answer:
                assert (await answer.json())["data"] == {"a": _PLAIN}
