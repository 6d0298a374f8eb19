"""The container runtime: its socket, its images, who may reach it."""

import json
from typing import Any

from tests.hosts import machines
from tests.hosts.machines import Machine

ROLE = "containerd"


def test_socket_is_for_root_alone(host: Any) -> None:
    socket = host.file("/run/containerd/containerd.sock")
    assert socket.is_socket
    assert socket.user == "root"
    assert not socket.mode & 0o006


def test_cri_works(host: Any) -> None:
    """The CRI plugin is loaded; a configuration that it cannot read turns it off and leaves the daemon running."""
    listed = host.check_output("ctr plugins list").splitlines()
    states = [line.split()[-1] for line in listed if line.split()[:2] == ["io.containerd.grpc.v1", "cri"]]
    assert states == ["ok"]


def test_images_are_there_and_pinned(host: Any) -> None:
    """The sandbox image among them: without it no Pod starts, and no registry could give it back."""
    brought = set(json.loads(host.file("/var/lib/keelson/images.json").content_string))
    lines = host.check_output("ctr --namespace k8s.io images list").splitlines()
    pinned = {line.split()[0] for line in lines if "io.cri-containerd.pinned=pinned" in line}
    assert brought <= pinned
    assert any(name.rpartition(":")[0].endswith("/pause") for name in brought)


def test_listens_on_loopback_alone(host: Any, machine: Machine) -> None:
    pid = machines.properties(host, "containerd.service", "MainPID")["MainPID"]
    lines = host.check_output("ss --no-header --listening --tcp --numeric --processes").splitlines()
    assert {line.split()[3].rpartition(":")[0] for line in lines if f"pid={pid}," in line} == {"127.0.0.1"}


def test_restarts_for_ever(host: Any) -> None:
    shown = machines.properties(host, "containerd.service", "Restart", "StartLimitIntervalUSec")
    assert shown == {"Restart": "always", "StartLimitIntervalUSec": "0"}
