"""What a machine that we did not build is asked before roles converge on it, and what follows from its answers.

The question goes to `components/provider/remote/survey_host.py`. Packages and modules that are missing become role
variables; what a machine cannot be made to have makes it unfit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from components.hosts.models import Enforcement

Role = Literal["controlPlane", "node"]

PYTHON: Final = (3, 13)
"""The release's byte code and compiled modules are for this Python: that of Debian 13."""

ARCHITECTURES: Final = ("amd64", "arm64")

DIRECTORIES: Final = (
    "~/.ansible",
    "/etc/cni",
    "/etc/cni/net.d",
    "/etc/etcd",
    "/etc/kubernetes",
    "/opt/containerd",
    "/opt/keelson",
    "/usr/local/libexec/keelson",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/keelson",
    "/var/lib/kube-proxy",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/kubernetes",
    "/var/log/pods",
)
"""Where roles and daemons keep what is theirs.

`~` is the home of the account that the machine is reached as.
"""

UNITS: Final = ("containerd.service", "etcd.service", "haproxy.service", "keepalived.service")
"""Units that the machine's own packages may have brought, and may run already."""

ACCOUNTS: Final = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "pod-network")
"""The accounts that the role base makes."""

KERNEL_MODULES: Final = ("nf_conntrack", "nf_tables", "overlay")
"""Modules to be loaded at boot where the kernel has them as modules: what uses them cannot always load them."""

_PORTS: Final[Mapping[Role, tuple[int, ...]]] = {
    "controlPlane": (2379, 2380, 6443, 10250, 10256, 10257, 10259),
    "node": (10250, 10256),
}

_PACKAGES: Final = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "nftables",
    "openssl",
    "procps",
    "runc",
    "socat",
    "zstd",
)
_CONTROL_PLANE_PACKAGES: Final = ("etcd-client", "etcd-server")
_BALANCER_PACKAGES: Final = ("haproxy", "keepalived")


def packages(role: Role, *, balanced: bool) -> list[str]:
    """Return the Debian packages that a machine of this role needs; `balanced`: behind a virtual address."""
    control_plane = (*_CONTROL_PLANE_PACKAGES, *(_BALANCER_PACKAGES if balanced else ()))
    return sorted((*_PACKAGES, *(control_plane if role == "controlPlane" else ())))


def question(role: Role, *, balanced: bool) -> dict[str, Any]:
    """Return the argument of the survey."""
    return {
        "packages": packages(role, balanced=balanced),
        "kernel_modules": list(KERNEL_MODULES),
        "directories": list(DIRECTORIES),
        "units": list(UNITS),
        "accounts": list(ACCOUNTS),
        "ports": list(_PORTS[role]),
    }


def unfit(survey: Mapping[str, Any], name: str) -> list[str]:
    """Return why the surveyed machine cannot be host `name` at all, each a clause that follows that name."""
    found = []
    if survey["host_name"] != name:
        # Daemons and their logs call a machine what it calls itself; a node's name is its host's.
        found.append(f"calls itself {survey['host_name']}: give it that name in keelson:machines, or rename it")
    python = tuple(survey["python"])
    if python != PYTHON:
        found.append(f"its python3 is {_dotted(python)}, and the release is for {_dotted(PYTHON)} (Debian 13)")
    if survey["architecture"] not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        found.append(f"its architecture is {survey['architecture']}, and releases are for {known}")
    return found


def enforcement(survey: Mapping[str, Any]) -> Enforcement:
    """Return what the surveyed machine can enforce."""
    return Enforcement(cgroup_controllers=tuple(survey["cgroup_controllers"]), oom_score=survey["oom_score"])


def role_variables(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return the role variables that make up for what a machine lacks and the host image has."""
    return {"base_packages": list(survey["packages"]), "base_kernel_modules": list(survey["kernel_modules"])}


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
