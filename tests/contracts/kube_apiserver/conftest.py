"""One API server for the suites of this folder; each test keeps to a namespace of its own."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

ENCRYPTION = f"""
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox: {{keys: [{{name: one, secret: {base64.b64encode(b"k" * 32).decode()}}}]}}
      - identity: {{}}
"""
_counter = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    configuration = Path(folder, "encryption.yaml")
    configuration.write_text(ENCRYPTION, encoding="utf-8")
    with Cluster(folder, [f"--encryption-provider-config={configuration}"]) as found:
        yield found


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(cluster.folder / "admin.conf")), user_agent="suite") as found:
        yield found


@pytest.fixture
async def namespace(client: Client) -> str:
    name = f"suite-{next(_counter)}"
    await client.create("namespaces", {"metadata": {"name": name}})
    await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})
    return name
