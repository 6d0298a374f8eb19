"""What a stack costs: a bring-up from nothing by phase, an update without changes, each daemon's memory, the way down.

A stack of its own with the settings of the environment is brought up and destroyed, so what runs is left alone. Memory
is the proportional set size (proc_pid_smaps_rollup(5)) of all processes of a unit, so that pages shared between Python
processes count once. Pods' processes are not part of any of these units.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from tests.bench import timelines

ROOT = Path(__file__).parents[2]
STACK = "bench"
_UNITS = (
    "etcd",
    "kube-apiserver",
    "kube-scheduler",
    "kube-controller-manager",
    "containerd",
    "kubelet",
    "kube-proxy",
    "pod-network",
    "haproxy",
    "keepalived",
)
# Without a memory controller systemd cannot tell, so the unit's own processes are asked, those of its cgroup.
_MEASURE = f"""
for unit in {" ".join(_UNITS)}; do
    group=/sys/fs/cgroup$(systemctl show --property=ControlGroup --value $unit.service)
    systemctl is-active --quiet $unit.service || continue
    for pid in $(cat $group/cgroup.procs); do
        echo $unit $(awk '/^Pss:/ {{ print $2 }}' /proc/$pid/smaps_rollup)
    done
done
"""


def measure(environment: str) -> int:
    """Measure a stack with the settings of `environment`; print the figures, draw the bring-up; return an exit status.

    The drawing and the engine's events stay in `.state/bench`.
    """
    settings = ROOT / "stacks" / f"Pulumi.{environment}.yaml"
    own = settings.with_name(f"Pulumi.{STACK}.yaml")
    results = ROOT / ".state" / "bench"
    results.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(settings, own)
    try:
        return _measure(environment, results)
    finally:
        own.unlink()


def _measure(environment: str, results: Path) -> int:
    events = results / f"bring-up-{environment}.jsonl"
    events.unlink(missing_ok=True)
    # The engine logs its events for those who ask for its debugging commands; its options can be told by environment.
    logging = {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_OPTION_EVENT_LOG": str(events)}
    status = 1
    if _timed(f"{environment} from nothing", "up", logging):
        spans = timelines.read(events.read_text().splitlines())
        drawing = events.with_suffix(".svg")
        drawing.write_text(timelines.drawing(spans, f"make up ENV={environment}"))
        sys.stdout.write(timelines.table(spans) + f"  drawn: {drawing}\n")
        if _timed("update without changes", "up"):
            _memory()
            status = 0
    return status if _timed("destroy", "destroy") else 1


def _timed(what: str, verb: str, environment: dict[str, str] | None = None) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        ["make", "--silent", verb, f"ENV={STACK}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        sys.stderr.write(f"make {verb} failed:\n{done.stderr[-4000:]}")
        return False
    phases = re.search(r"is up (\(.*\))", done.stderr)
    sys.stdout.write(f"{what}: {time.monotonic() - started:.1f} s {phases[1] if phases else ''}\n")
    sys.stdout.flush()
    return True


def _memory() -> None:
    for line in _make("hosts").splitlines():
        host = line.split()[0]
        kibibytes: dict[str, int] = defaultdict(int)
        for measured in _make("ssh", f"HOST={host}", f"CMD={_escaped()}").splitlines():
            unit, size = measured.split()
            kibibytes[unit] += int(size)
        for unit, total in kibibytes.items():
            sys.stdout.write(f"{host}: {unit}: {total / 1024:.0f} MiB\n")


def _make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "--silent", *arguments, f"ENV={STACK}"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _escaped() -> str:
    # Variables given to make are expanded by it.
    return _MEASURE.replace("$", "$$")
