"""A container's processes as the operator's kernel shows them: found by cgroup, waited for by descriptor."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.hosts import cgroups


def supervisor(cgroup: Path) -> int | None:
    """Return the container's process on our side: the launcher, then the nspawn that it turns into."""
    # In this order: nspawn moves itself from the first to the second.
    candidates = {*cgroups.processes(cgroup), *cgroups.processes(cgroup / "supervisor")}
    # nspawn's own helpers are its children; the one whose parent is elsewhere stands for the container.
    return next((pid for pid in sorted(candidates) if _parent(pid) not in {None, *candidates}), None)


def _parent(pid: int) -> int | None:
    try:
        # proc_pid_stat(5): the second field is the program's name in parentheses, and may contain anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def leader(cgroup: Path) -> int | None:
    """Return the process that is PID 1 inside, or the supervisor while there is none yet."""
    outer = supervisor(cgroup)
    if outer is None:
        return None
    try:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return outer
    for child in map(int, children):
        try:
            status = Path(f"/proc/{child}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) > 1 and numbers[-1] == "1":
            return child
    return outer


@contextmanager
def held(pid: int) -> Iterator[int | None]:
    """Hold a process by descriptor (pidfd_open(2)), so that a reused number cannot stand for it; None if it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ends(descriptor: int, timeout_seconds: float) -> bool:
    """Wait for the end of the process behind the descriptor, and tell whether it came in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))
