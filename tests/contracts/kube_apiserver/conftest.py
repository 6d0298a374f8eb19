"""One API server for the suites of this folder; each test keeps to a namespace of its own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    configuration = Path(folder, "encryption.yaml")
    configuration.write_text(ENCRYPTION, encoding="utf-8")
    with Cluster(folder, [f"--encryption-provider-config={configuration}"]) as found:
        yield found
