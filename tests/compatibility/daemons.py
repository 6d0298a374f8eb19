"""Upstream's controller manager, scheduler and proxy as processes on a cluster's API server, and what they log."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import yaml

from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.storage.etcd_members import free_port

PROTOBUF = "application/vnd.kubernetes.protobuf"
# klog's header: severity, date, time, thread, and then file and line, which name the message better than its text.
_LINE = re.compile(r"^([EF])\d{4} [\d:.]+ +\d+ ([\w.]+):\d+\] (.*)$")
# What differs from run to run: values quoted within messages, objects, identifiers, addresses, numbers.
_VARYING = re.compile(
    r'\\"[^"]*\\"|\b(?:[kK]ey|[oO]bj|pod|item|queueKey)="[^"]*"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\d+(?:[.:]\d+)*'
)


def _anybody() -> ssl.SSLContext:
    """For health checks of daemons that make a certificate for themselves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def complaints(name: str, log: str) -> Counter[str]:
    """What a program has logged by klog as errors, without what varies between runs, and how often."""
    found: Counter[str] = Counter()
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is not None:
            found[f"{name} {match[2]}: {_VARYING.sub('*', match[3])}"] += 1
        elif line.startswith(("panic:", "fatal error:")):
            found[f"{name} {line}"] += 1
    return found


class Daemon:
    """One process; `health` is the URL that answers 200 when it serves."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, health: str) -> None:
        self.name = name
        self._command = list(command)
        self._path = folder / f"{name}.log"
        self._health = health
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = self._path.open("wb")
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._health, timeout=2, context=_anybody()):
                    return self
            except (OSError, urllib.error.URLError):
                # A port that is not open yet tells nobody when it will be.
                time.sleep(0.1)
        self.__exit__(None, None, None)
        raise AssertionError(f"{self.name} did not become healthy:\n{self.log[-3000:]}")

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._path.read_text(encoding="utf-8", errors="replace")

    def complaints(self) -> Counter[str]:
        """What it has logged as an error, without what varies between runs, and how often."""
        return complaints(self.name, self.log)


def _kubeconfig(cluster: Cluster, name: str) -> str:
    return cluster.kubeconfig(f"system:{name}", [f"system:{name}"])


def controller_manager(cluster: Cluster, program: Path) -> Daemon:
    """kube-controller-manager, with an account for each controller as clusters run it."""
    config, port = _kubeconfig(cluster, "kube-controller-manager"), free_port()
    folder = cluster.folder
    authority = cluster.write("ca.key", cluster.authority.key)
    command = [
        str(program),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'kcm'}",
        "--controllers=*,bootstrapsigner,tokencleaner",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={folder / 'sa.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
        f"--cluster-signing-cert-file={folder / 'ca.crt'}",
        f"--cluster-signing-key-file={authority}",
        "--allocate-node-cidrs",
        "--cluster-cidr=10.244.0.0/16",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--kube-api-content-type={PROTOBUF}",
        "--concurrent-gc-syncs=4",
        "--v=1",
    ]
    return Daemon("kube-controller-manager", command, folder, f"https://127.0.0.1:{port}/healthz")


def scheduler(cluster: Cluster, program: Path) -> Daemon:
    """kube-scheduler; it takes nothing but protobuf where a kind has it."""
    config, port = _kubeconfig(cluster, "kube-scheduler"), free_port()
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": config, "contentType": PROTOBUF, "acceptContentTypes": PROTOBUF},
    }
    path = cluster.write("scheduler.yaml", yaml.safe_dump(document).encode())
    command = [
        str(program),
        f"--config={path}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={cluster.folder / 'scheduler'}",
        "--v=1",
    ]
    return Daemon("kube-scheduler", command, cluster.folder, f"https://127.0.0.1:{port}/healthz")


def proxy(cluster: Cluster, program: Path, node: str) -> Daemon:
    """kube-proxy of a node, in nftables mode; to be started in a network namespace of the test's own."""
    port = free_port()
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node,
        "clusterCIDR": "10.244.0.0/16",
        "bindAddress": "127.0.0.1",
        "healthzBindAddress": f"127.0.0.1:{port}",
        "metricsBindAddress": f"127.0.0.1:{free_port()}",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "clientConnection": {
            "kubeconfig": _kubeconfig(cluster, "kube-proxy"),
            "contentType": PROTOBUF,
            "acceptContentTypes": PROTOBUF,
        },
    }
    path = cluster.write("proxy.yaml", yaml.safe_dump(document).encode())
    return Daemon("kube-proxy", [str(program), f"--config={path}"], cluster.folder, f"http://127.0.0.1:{port}/livez")
