"""Logs, exec, attach, port-forward and proxies, from kubectl to a container: every daemon on the way is a real one."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.contracts.cri.containerd_labs import ContainerdLab
from tests.contracts.cri.test_kubelet import Node, pod
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

_ADDRESS = "10.213.0.1"
_SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}


class ServingNode(Node):
    """A node whose kubelet has a certificate that the API server can verify."""

    def __init__(self, lab: ContainerdLab, folder: Path) -> None:
        super().__init__(lab, folder)
        flags = [f"--advertise-address={_ADDRESS}", "--kubelet-preferred-address-types=InternalIP"]
        self.cluster = Cluster(folder / "cluster", flags)

    def start(self) -> None:
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        if "tlsCertFile" not in config:
            certificate, key = self.cluster.authority.issue("system:node:node-a", addresses=[_ADDRESS])
            config["tlsCertFile"] = self.cluster.write("kubelet.crt", certificate)
            config["tlsPrivateKeyFile"] = self.cluster.write("kubelet.key", key)
            path.write_text(yaml.safe_dump(config))
        super().start()

    def run(self, *arguments: str, stdin: bytes = b"", spdy: bool = False) -> subprocess.CompletedProcess[bytes]:
        """kubectl, whatever it answers."""
        return self.inside(
            lambda: subprocess.run(
                self.command(*arguments),
                input=stdin,
                capture_output=True,
                timeout=60,
                check=False,
                env={**os.environ, **(_SPDY if spdy else {})},
            )
        )

    def command(self, *arguments: str) -> list[str]:
        return [shutil.which("kubectl") or "kubectl", "--kubeconfig", str(self.cluster.folder / "admin.conf"), *arguments]
