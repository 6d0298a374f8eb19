"""A bare host for what is tried on one, and SSH as the operator's, trusting a pinned key and no other."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.hosts import machine_containers, networks
from components.hosts.labs import Lab
from components.hosts.machine_containers import Spec
from components.hosts.models import Host
from images.machine import recipes, trees

Run = Callable[..., str]


@pytest.fixture(scope="session")
def image() -> str:
    return str(trees.tree(recipes.load()))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Host]:
    lab = Lab(clone=tmp_path_factory.mktemp("clone"), stack="b")
    network = networks.ensure(lab)
    try:
        yield machine_containers.create(lab, Spec(name="b-1", address=str(network.hosts()[0]), image=image)).host
    finally:
        machine_containers.delete(lab, "b-1")
        networks.delete(lab)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return `run(host, command, stdin=file)`: its standard output; a status other than 0 fails the test."""
    pins = tmp_path_factory.mktemp("pins") / "known_hosts"

    def run(host: Host, command: str, stdin: Path = Path("/dev/null")) -> str:
        pins.write_text(host.known_hosts_line())
        words = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={pins}", "ConnectTimeout=5"]
        options = [word for option in words for word in ("-o", option)]
        with stdin.open("rb") as file:
            done = subprocess.run(
                ["ssh", *options, "-i", host.private_key_path, f"{host.user}@{host.address}", command],
                stdin=file,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
