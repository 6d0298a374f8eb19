"""A cluster as these tests see it: a clone of the tree, whose stacks `make` brings up and takes down as a user does.

The copy has a place that does not change, so that what a killed run left is found there and taken down first. Its path
gives its labs an identity apart from the operator's own stacks.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.hosts.models import Host as Machine

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".state" / "test-clone"
GIVEN = os.environ.get("KEELSON_TEST_CLONE", "")
"""A clone whose stack is up already, for trying tests on it; it is neither brought up nor taken down."""
GIVEN_STACK = os.environ.get("KEELSON_TEST_ENV", "dev")

TOOLS = "keelson.local/tools:0.1.0"
"""The image with sh, wget, nslookup and httpd that every host has (images/oci/tools)."""

_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".state", "*_cache", "__pycache__", ".hypothesis", ".ansible")
_TAIL_LINES = 40
_PATIENCE_SECONDS = 900


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status and all it wrote."""

    status: int
    stdout: str
    stderr: str

    @property
    def told(self) -> str:
        """Standard output and standard error."""
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Host:
    """One line of `make hosts`."""

    name: str
    address: str
    roles: tuple[str, ...]

    @property
    def is_control_plane(self) -> bool:
        """Whether an API server runs on it."""
        return "kube_apiserver" in self.roles


@dataclass(frozen=True)
class Stack:
    """One environment of a clone, up or not."""

    clone: Path
    name: str

    def make(self, *arguments: str, seconds: float = _PATIENCE_SECONDS) -> str:
        """Run make on the stack; return its standard output. Raises AssertionError with its last lines if it fails."""
        return succeeded(self.try_make(*arguments, seconds=seconds), f"make {' '.join(arguments)}")

    def try_make(self, *arguments: str, seconds: float = _PATIENCE_SECONDS) -> Ended:
        """Run make on the stack and tell how it ended."""
        return run(["make", "--silent", *arguments, f"ENV={self.name}"], directory=self.clone, seconds=seconds)

    def pulumi(self, *arguments: str) -> Ended:
        """Run pulumi as README tells a user who goes without make."""
        script = f'eval "$(make --silent env ENV={self.name})" && exec pulumi {shlex.join(arguments)}'
        return run(["sh", "-c", script], directory=self.clone)

    @property
    def directory(self) -> Path:
        """What the stack alone keeps in its clone."""
        return self.clone / ".state" / "labs" / self.name

    def configure(self, values: Mapping[str, Any]) -> None:
        """Write these values, by keys without their prefix, as the stack's settings."""
        content = yaml.safe_dump({"config": {f"keelson:{key}": value for key, value in values.items()}})
        self._settings.write_text(content)

    @contextmanager
    def own_settings(self) -> Iterator[Stack]:
        """The stack, with settings of its own meanwhile; on the way out it is destroyed, whatever it is by then."""
        as_cloned = self._settings.read_text()
        yield self
        self.make("destroy")
        self._settings.write_text(as_cloned)

    @property
    def _settings(self) -> Path:
        return self.clone / "stacks" / f"Pulumi.{self.name}.yaml"


@dataclass(frozen=True)
class Cluster:
    """A stack that is up, and kubectl with its administrator's rights."""

    stack: Stack
    kubeconfig: Path
    hosts: tuple[Host, ...]

    @property
    def control_plane(self) -> list[Host]:
        """The hosts with an API server, in the order of `make hosts`."""
        return [host for host in self.hosts if host.is_control_plane]

    @property
    def workers(self) -> list[Host]:
        """The hosts that only run workloads."""
        return [host for host in self.hosts if not host.is_control_plane]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl printed. Raises AssertionError with its complaint if it fails."""
        return succeeded(self.try_kubectl(*arguments, stdin=stdin), f"kubectl {' '.join(arguments)}")

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> Ended:
        """Run kubectl and tell how it ended."""
        return run(self.command(*arguments), stdin=stdin)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a kubectl on this cluster."""
        return ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get` shows, as data."""
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def on(self, host: str, command: str) -> str:
        """Return what a command on a host printed."""
        return self.stack.make("ssh", f"HOST={host}", f"CMD={command}")

    def service_pids(self) -> dict[str, dict[str, str]]:
        """Return the main process of each running service, by host and unit."""
        command = "systemctl show --property=Id,MainPID --type=service --state=running '*'"
        found: dict[str, dict[str, str]] = {}
        for host in self.hosts:
            blocks = self.on(host.name, command).strip().split("\n\n")
            properties = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
            found[host.name] = {each["Id"]: each["MainPID"] for each in properties if _is_ours(each["Id"])}
        return found


def _is_ours(unit: str) -> bool:
    # What people and the journal start by themselves comes and goes: sessions, ssh connections, timers' services.
    return unit.startswith(("kube", "etcd", "containerd", "pod-network", "haproxy", "keepalived"))


@dataclass
class Namespace:
    """A namespace of one test's own, and kubectl in it."""

    cluster: Cluster
    name: str
    _created: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace; see `Cluster.kubectl`."""
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments, stdin=stdin)

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> Ended:
        """Run kubectl in the namespace; see `Cluster.try_kubectl`."""
        return self.cluster.try_kubectl(f"--namespace={self.name}", *arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get` shows in the namespace, as data."""
        return self.cluster.get(f"--namespace={self.name}", *arguments)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply manifests given as data."""
        self.kubectl("apply", "--filename=-", stdin="\n".join(map(json.dumps, manifests)))

    def wait(self, condition: str, *objects: str, seconds: int = 120) -> None:
        """Wait by `kubectl wait`; once the time is over, the complaint tells of the namespace's pods and events."""
        ended = self.try_kubectl("wait", f"--for={condition}", f"--timeout={seconds}s", *objects)
        if ended.status != 0:
            state = self.kubectl("get", "pods", "--output=wide") + self.kubectl("get", "events")
            raise AssertionError(f"{' '.join(objects)}: {ended.stderr}\n{state}")

    def rollout(self, subject: str, seconds: int = 120) -> None:
        """Wait by `kubectl rollout status`."""
        ended = self.try_kubectl("rollout", "status", subject, f"--timeout={seconds}s")
        if ended.status != 0:
            state = self.kubectl("get", "pods", "--output=wide") + self.kubectl("get", "events")
            raise AssertionError(f"{subject}: {ended.told}\n{state}")


def run(
    arguments: list[str],
    *,
    directory: Path | None = None,
    stdin: str | None = None,
    seconds: float = _PATIENCE_SECONDS,
) -> Ended:
    """Run a program to its end, whatever that is, within so many seconds."""
    done = subprocess.run(
        arguments,
        cwd=directory,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=seconds,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def ssh(machine: Machine, command: str, stdin: str = "") -> str:
    """Return what a command on a machine outside the lab printed. Raises AssertionError with its complaint."""
    pins = Path(machine.private_key_path).with_name("pins")
    pins.write_text(machine.known_hosts_line())
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={pins}"]
    target = ["-i", machine.private_key_path, f"{machine.user}@{machine.address}"]
    return succeeded(run(["ssh", *options, *target, command], stdin=stdin, seconds=120), command)


def succeeded(ended: Ended, what: str) -> str:
    """Return the standard output of a program that succeeded; raise AssertionError that shows its last lines if not."""
    if ended.status != 0:
        # Each stream's own end: what went wrong is at the end of one of them, and the other may be long.
        tail = "\n".join(line for told in (ended.stdout, ended.stderr) for line in told.splitlines()[-_TAIL_LINES:])
        raise AssertionError(f"{what} ended with {ended.status}:\n{tail}")
    return ended.stdout


def environment() -> dict[str, str]:
    """Return the environment of a user of the copy, which has its own backend, passphrase and virtual environment."""
    foreign = ("PULUMI_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "KUBECONFIG", "ENV", "HOST", "CMD", "STATE", "AREA", "FOCUS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def copy() -> Path:
    """Make the copy of the tree, after what an earlier run left of it was taken down."""
    if COPY.exists():
        remove()
    shutil.copytree(ROOT, COPY, ignore=_NOT_COPIED, symlinks=True)
    return COPY


def remove() -> None:
    """Take down what is up in the copy, and remove it."""
    for folder in sorted((COPY / ".state" / "labs").glob("*/")):
        Stack(COPY, folder.name).make("destroy")
    shutil.rmtree(COPY)


def connect(stack: Stack) -> Cluster:
    """Return the cluster of a stack that is up."""
    rows = [line.split() for line in stack.make("hosts").splitlines()]
    hosts = tuple(Host(name, address, tuple(roles.split(","))) for name, address, roles in rows)
    return Cluster(stack, Path(stack.make("kubeconfig").strip()), hosts)
