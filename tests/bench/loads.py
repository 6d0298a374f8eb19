"""What is asked of a server: by wrk, which costs little itself, and by client-go, as Kubernetes' own components do.

Both report the same things, so that one table shows them. `tools/loads` is the half of client-go.
"""

from __future__ import annotations

import functools
import itertools
import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.setup import caches, go_modules, packages
from tests.contracts.kube_apiserver.api_servers import ROOT

from .contestants import Contestant

_SCRIPTS = Path(__file__).parent / "wrk"
_LEAST_TIMEOUT_SECONDS = 300.0
_runs = itertools.count(1)


@dataclass(frozen=True)
class Outcome:
    """`rate` is in operations a second, latencies in milliseconds."""

    operations: int
    rate: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Load:
    """One row of the table. `goal` is what ours must be, as a multiple of upstream's rate; 0 where none is set.

    `latency_goal` bounds our p99 in milliseconds. `after` is a load of client-go that tidies up, unmeasured.
    """

    name: str
    by: str
    run: Callable[[Contestant, float], Outcome]
    goal: float = 0.0
    latency_goal: float = 0.0
    after: str = ""


def _outcome(told: str) -> Outcome:
    found = json.loads(told.splitlines()[-1])
    seconds = found["seconds"] or 1e-9
    return Outcome(found["operations"], found["operations"] / seconds, found["p50_ms"], found["p99_ms"])


def _run(command: list[str]) -> Outcome:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LEAST_TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-1000:] or done.stdout[-1000:]}")
    return _outcome(done.stdout)


def client_go(
    contestant: Contestant, name: str, *, seconds: float = 3, workers: int = 16, count: int = 100, first: int = 0
) -> Outcome:
    """Run a load of tools/loads. Raises RuntimeError with what it said where it fails."""
    program = str(_program() / "loads")
    more = [f"-seconds={seconds}s", f"-workers={workers}", f"-count={count}", f"-first={first}"]
    return _run([program, f"-kubeconfig={contestant.kubeconfig}", f"-load={name}", *more])


def wrk(contestant: Contestant, path: str, seconds: float, *, connections: int, script: str = "read") -> Outcome:
    """Run wrk on `path` below the URL of ConfigMaps. Raises RuntimeError where an answer is no success."""
    command = [
        "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={max(1, round(seconds))}s",
        "--timeout=20s",
        f"--script={_SCRIPTS / script}.lua",
        f"--header=Authorization: Bearer {contestant.token}",
        contestant.url + path,
        # What a script names its objects by, so that no two runs make the same.
        str(next(_runs)),
    ]
    return _run(command)


@functools.cache
def _program() -> Path:
    """The folder of the program that tools/loads is, built where the cache has none."""
    module = ROOT / "tools" / "loads"
    sources = sorted(module.iterdir())
    return caches.entry(
        "loads",
        caches.digest([platform.machine()], sources),
        lambda place: go_modules.build(module, ".", place / "loads"),
        what="building the bench's client",
    )


def prepare() -> None:
    """Have both programs on this machine. Raises SetupError."""
    if shutil.which("wrk") is None:
        packages.install(["wrk"], why="the bench")
    _program()


def _wrk_load(
    name: str, path: str, connections: int, *, goal: float = 0.0, script: str = "read", after: str = ""
) -> Load:
    def run(contestant: Contestant, seconds: float) -> Outcome:
        return wrk(contestant, path, seconds, connections=connections, script=script)

    return Load(name, "wrk", run, goal, after=after)


def _client_load(
    name: str, *, goal: float = 0.0, latency_goal: float = 0.0, workers: int = 16, count: int = 100, after: str = ""
) -> Load:
    def run(contestant: Contestant, seconds: float) -> Outcome:
        # Objects are numbered from here on: no two runs make the same.
        number = next(_runs) * 100_000
        return client_go(contestant, name, seconds=seconds, workers=workers, count=count, first=number)

    return Load(name, "client-go", run, goal, latency_goal, after)


LOADS = (
    _wrk_load("get", "/one", 32, goal=3.0),
    _wrk_load("list-500", "?limit=500", 4, goal=2.0),
    _wrk_load("list", "", 2, goal=4.0),
    _wrk_load("list-cached", "?resourceVersion=0", 2, goal=4.0),
    _wrk_load("create", "", 32, goal=1.2, script="create", after="sweep"),
    _client_load("get", goal=3.0),
    _client_load("list-500", goal=2.0, workers=4),
    _client_load("list", goal=4.0, workers=2),
    _client_load("create", goal=1.2, after="sweep"),
    _client_load("delete", count=1000),
    _client_load("update", goal=1.0),
    _client_load("patch", goal=1.0),
    _client_load("apply"),
    _client_load("watch", goal=1.5, workers=8),
    _client_load("connect", count=500),
    _client_load("get-during-list", latency_goal=50.0, workers=4),
)
"""Every load, in the order of the table."""
