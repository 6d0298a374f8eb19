"""The API servers that are measured side by side: each on an etcd of its own, with the same flags, keys and token.

What a process has used comes from proc_pid_stat(5), what it holds from proc_pid_smaps_rollup(5). CPU time for each
operation is told beside the rate, because on a machine that others use too it is by far the steadier figure.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from components.setup import kubernetes_programs
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

OURS, THEIRS = "keelson", "upstream"
_TICKS = os.sysconf("SC_CLK_TCK")
_NAMESPACE = "bench"


@dataclass(frozen=True)
class Usage:
    """CPU seconds that a server and its etcd have used."""

    server: float
    etcd: float

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.server - other.server, self.etcd - other.etcd)


class Contestant:
    """One server with its etcd; `kubeconfig` and `token` are those of an account that may do everything by RBAC."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        program = None if name == OURS else kubernetes_programs.build(ROOT, "kube-apiserver")
        self.cluster = Cluster(folder, program=program)
        self.token = ""
        self.kubeconfig = ""

    @property
    def url(self) -> str:
        """Where its ConfigMaps are."""
        return f"{self.cluster.server}/api/v1/namespaces/{_NAMESPACE}/configmaps"

    def account(self) -> None:
        """Make the account that the loads speak as. Both servers then check the same kind of token by RBAC."""
        kubectl = self.cluster.kubectl
        kubectl("create", "namespace", _NAMESPACE)
        kubectl("create", "serviceaccount", "loads", f"--namespace={_NAMESPACE}")
        account = f"{_NAMESPACE}:loads"
        kubectl("create", "clusterrolebinding", "loads", "--clusterrole=cluster-admin", f"--serviceaccount={account}")
        self.token = kubectl("create", "token", "loads", f"--namespace={_NAMESPACE}", "--duration=12h").strip()
        self.kubeconfig = self.cluster.kubeconfig(token=self.token)

    def restart(self) -> float:
        """Stop the server and start it again; the seconds from its start until /readyz answers 200."""
        self.cluster.stop_server()
        began = time.monotonic()
        self.cluster.start_server()
        return time.monotonic() - began

    def usage(self) -> Usage:
        """What it has used so far."""
        return Usage(_cpu_seconds(self.cluster.pid), _cpu_seconds(self.cluster.etcd.pid))

    def memory(self) -> float:
        """MiB that the server holds now (proportional set size)."""
        for line in Path(f"/proc/{self.cluster.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the kernel tells no proportional set size")


def _cpu_seconds(pid: int) -> float:
    # The command's name is in parentheses and may hold anything; user and system time are the 14th and 15th fields.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
