"""Upstream's suite as a program: started on batches of specs, several side by side, its story followed and kept.

Each batch is a process of its own, since the suite takes no work once it runs. A batch costs some seconds of start, and
is small enough that a slow spec keeps few others waiting.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.setup import progress
from tests.conformance import reports, specs
from tests.conformance.reports import Result

_BATCH = 8
# What a batch cut short is given to remove its namespaces and write its report (ginkgo's --grace-period).
_GRACE_SECONDS = 30
# How ginkgo tells the end of a spec, after a line with its name: a bullet, or S where it skipped itself.
_ENDED = re.compile(r"[•S] (?:\[(?P<state>[A-Z]+)[^]]*\] )?\[(?P<seconds>[0-9.]+) seconds\]")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The program, the cluster that it runs against, and the folder that its reports and logs go to."""

    program: Path
    kubeconfig: Path
    kubectl: Path
    nodes: int
    place: Path

    def command(self, names: Sequence[str], *, place: Path, seconds: float) -> list[str]:
        """Return the command line that runs the specs called `names` for at most `seconds`."""
        return [
            str(self.program),
            "--provider=skeleton",
            f"--kubeconfig={self.kubeconfig}",
            f"--kubectl-path={self.kubectl}",
            f"--num-nodes={self.nodes}",
            # The suite waits for no node and no pod of the system: `make up` ended when they were ready.
            "--allowed-not-ready-nodes=-1",
            "--minStartupPods=-1",
            f"--report-dir={place}",
            "--ginkgo.no-color",
            "--ginkgo.v",
            f"--ginkgo.timeout={max(1, int(seconds))}s",
            f"--ginkgo.grace-period={_GRACE_SECONDS}s",
            *(f"--ginkgo.focus={re.escape(name)}$" for name in names),
        ]


@dataclass
class Run:
    """One run of the suite over some specs, by several processes at a time."""

    suite: Suite
    names: Sequence[str]
    processes: int
    deadline: float
    clock: Callable[[], float] = time.monotonic
    results: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._batches = 0
        self._told = 0

    def run(self) -> list[Result]:
        """Run everything that the deadline leaves time for, and return the result of each name, in their order."""
        together = [name for name in self.names if not specs.is_serial(name)]
        alone = [name for name in self.names if specs.is_serial(name)]
        for names, processes in ((together, self.processes), (alone, 1)):
            # At least two batches a process, so that none has much left when the others are done.
            size = max(1, min(_BATCH, -(-len(names) // (2 * processes))))
            queue = deque(list(names[start : start + size]) for start in range(0, len(names), size))
            threads = [threading.Thread(target=self._work, args=(queue,)) for _ in range(processes)]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                self._stop()
                for thread in threads:
                    thread.join()
                break
        return [self.results.get(name, Result(name=name, state="not run")) for name in self.names]

    def _work(self, queue: deque[list[str]]) -> None:
        while not self._stopped and self.clock() < self.deadline:
            try:
                names = queue.popleft()
            except IndexError:
                return
            self._run_batch(names)

    def _run_batch(self, names: list[str]) -> None:
        with self._lock:
            self._batches += 1
            place = self.suite.place / f"batch-{self._batches:03}"
        place.mkdir(parents=True)
        command = self.suite.command(names, place=place, seconds=self.deadline - self.clock())
        with (
            (place / "e2e.log").open("w", buffering=1) as log,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # An interrupt of the terminal is ours to pass on, once.
                start_new_session=True,
            ) as process,
        ):
            with self._lock:
                self._running.add(process)
            if process.stdout is None:
                raise AssertionError("a pipe was asked for")
            current = ""
            for line in process.stdout:
                log.write(line)
                if line.startswith("[sig-"):
                    current = line.strip()
                elif (ended := _ENDED.match(line)) is not None:
                    self._tell(current, ended["state"], ended["seconds"], log=place / "e2e.log")
        with self._lock:
            self._running.discard(process)
            for result in reports.read(place / "junit_01.xml", names):
                self.results[result.name] = result

    def _tell(self, name: str, state: str | None, seconds: str, *, log: Path) -> None:
        with self._lock:
            self._told += 1
            where = f" ({log})" if state else ""
            progress.say(f"{self._told}/{len(self.names)} {(state or 'passed').lower()}: {name}, {seconds} s{where}")

    def _stop(self) -> None:
        self._stopped = True
        with self._lock:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
