"""`python -m tests.bench.api_servers`: our kube-apiserver and upstream's under the same loads, interleaved, in one run.

Every load is given to one server and then to the other, round after round and each time the other one first, so that
what else the machine does falls on both. Environment: BENCH_SCALE makes everything shorter and smaller (0.1 takes two
minutes and tells little), BENCH_LOADS names the loads to run, as `get,list-500`, and BENCH_SERVERS one server alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from components.setup import progress
from tests.contracts.kube_apiserver.api_servers import ROOT

from . import loads, reports
from .contestants import OURS, THEIRS, Contestant
from .loads import LOADS, Load
from .reports import Measure

RESULTS = ROOT / ".state" / "bench"
_ROUNDS = 3
_SECONDS = 3.0
_CONFIG_MAPS, _NODES, _PODS = 10_000, 5_000, 10_000
# What a server does right after it is ready (informers, policy, Go's first collections) is no idling.
_SETTLE_SECONDS = 5.0


class Bench:
    """One run."""

    def __init__(self, contestants: Sequence[Contestant], scale: float, chosen: frozenset[str]) -> None:
        self._contestants = contestants
        self._scale = scale
        self._chosen = chosen
        self._rounds = max(1, round(_ROUNDS * min(1.0, scale * 2)))
        self.measures: list[Measure] = []

    def run(self) -> list[Measure]:
        """Every measure, in the order in which it was taken. Raises RuntimeError where a load fails."""
        whole = not self._chosen
        for contestant in self._contestants:
            contestant.account()
            loads.client_go(contestant, "prepare")
        if whole:
            self._ready("ready time")
            self._memory("memory idle", bound=150.0)
        self._fill("configmaps", max(1000, round(_CONFIG_MAPS * self._scale)))
        if whole:
            self._memory("memory, ConfigMaps", goal=0.4)
        for load in LOADS:
            if whole or load.name in self._chosen or f"{load.by}:{load.name}" in self._chosen:
                self._load(load)
        if whole:
            # What the loads have left behind is not part of the state that is weighed.
            self._ready("ready time, ConfigMaps")
            self._fill("nodes", round(_NODES * self._scale))
            self._fill("pods", round(_PODS * self._scale))
            self._memory("memory, nodes and pods", goal=0.4)
        return self.measures

    def _turns(self) -> list[Contestant]:
        turns: list[Contestant] = []
        for number in range(self._rounds):
            turns += self._contestants if number % 2 == 0 else self._contestants[::-1]
        return turns

    def _ready(self, name: str) -> None:
        measure = Measure(name, "s", lower=True, goal=0.7)
        self.measures.append(measure)
        for contestant in self._turns():
            measure.values[contestant.name].append(contestant.restart())
        progress.say(f"{name}: {measure.values}")

    def _memory(self, name: str, *, goal: float = 0.0, bound: float = 0.0) -> None:
        measure = Measure(name, "MiB", lower=True, goal=goal, bound=bound)
        self.measures.append(measure)
        time.sleep(_SETTLE_SECONDS)
        for contestant in self._contestants:
            measure.values[contestant.name].append(contestant.memory())
        progress.say(f"{name}: {measure.values}")

    def _fill(self, what: str, count: int) -> None:
        measure = Measure(f"fill {what}", "/s")
        self.measures.append(measure)
        for contestant in self._contestants:
            before = contestant.usage()
            outcome = loads.client_go(contestant, f"fill-{what}", count=count)
            self._note(measure, contestant, outcome.rate, (contestant.usage() - before).server, outcome.operations)
        progress.say(f"fill {what}: {measure.values}")

    def _load(self, load: Load) -> None:
        measure = Measure(f"{load.name} ({load.by})", "/s", goal=load.goal)
        latency = Measure(f"{load.name} ({load.by}) p99", "ms", lower=True, bound=load.latency_goal)
        self.measures += [measure, latency]
        for contestant in self._turns():
            before = contestant.usage()
            outcome = load.run(contestant, max(1.0, _SECONDS * min(1.0, self._scale)))
            self._note(measure, contestant, outcome.rate, (contestant.usage() - before).server, outcome.operations)
            latency.values[contestant.name].append(outcome.p99)
            if load.after:
                loads.client_go(contestant, load.after)
        progress.say(reports.table([measure]).splitlines()[1])

    def _note(self, measure: Measure, contestant: Contestant, value: float, cpu: float, operations: int) -> None:
        measure.values[contestant.name].append(value)
        measure.server_cpu[contestant.name].append(cpu * 1e6 / max(1, operations))


def main() -> int:
    """Run the bench; print the table, write JSON and the chart; 1 where a goal is not reached."""
    scale = float(os.environ.get("BENCH_SCALE") or "1")
    chosen = frozenset(name for name in (os.environ.get("BENCH_LOADS") or "").split(",") if name)
    names = [name for name in (OURS, THEIRS) if name in (os.environ.get("BENCH_SERVERS") or f"{OURS},{THEIRS}")]
    loads.prepare()
    with tempfile.TemporaryDirectory(prefix="keelson-bench-") as folder, contextlib.ExitStack() as stack:
        contestants = [Contestant(name, Path(folder, name)) for name in names]
        for contestant in contestants:
            stack.enter_context(contestant.cluster)
        measures = Bench(contestants, scale, chosen).run()
    sys.stdout.write(reports.table(measures))
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {"machine": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    result = {**about, "scale": scale, "measures": reports.as_json(measures)}
    (RESULTS / "api-servers.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    (RESULTS / "api-servers.svg").write_text(reports.chart(measures), encoding="utf-8")
    sys.stdout.write(f"figures: {RESULTS / 'api-servers.json'}, chart: {RESULTS / 'api-servers.svg'}\n")
    return 1 if any(measure.reached is False for measure in measures) else 0


if __name__ == "__main__":
    sys.exit(main())
