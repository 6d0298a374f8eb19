"""`python -m tests.bench ENV`: what a stack that is up costs: an update without changes, and memory by daemon.

Memory is the proportional set size (proc_pid_smaps_rollup(5)) of all processes of a unit, so that pages shared between
Python processes count once. Pods' processes are not part of any of these units.
"""

import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

_ROOT = Path(__file__).parents[2]
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


def main() -> int:
    """Measure the stack named on the command line, and print one line a measure."""
    environment = f"ENV={sys.argv[1]}"
    started = time.monotonic()
    done = subprocess.run(
        ["make", "--silent", "up", environment], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
        return 1
    phases = re.search(r"is up \((.*)\)", done.stderr)
    sys.stdout.write(f"update without changes: {time.monotonic() - started:.1f} s ({phases[1] if phases else '?'})\n")
    for line in _make("hosts", environment).splitlines():
        host = line.split()[0]
        kibibytes: dict[str, int] = defaultdict(int)
        for unit, size in (
            words.split() for words in _make("ssh", environment, f"HOST={host}", "CMD=" + _escaped()).splitlines()
        ):
            kibibytes[unit] += int(size)
        for unit, total in kibibytes.items():
            sys.stdout.write(f"{host}: {unit}: {total / 1024:.0f} MiB\n")
    return 0


def _make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "--silent", *arguments], cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _escaped() -> str:
    # Variables given to make are expanded by it.
    return _MEASURE.replace("$", "$$")


if __name__ == "__main__":
    sys.exit(main())
