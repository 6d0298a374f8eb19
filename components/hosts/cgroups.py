"""Hosts as cgroups: the one handle on all of a host's processes that no process inside can escape.

Only cgroup v2 serves (cgroup.kill and cgroup.events are its own; cgroups(7), the kernel's cgroup-v2 document). On a
machine that still mounts v1 at /sys/fs/cgroup, v2 lies elsewhere (usually unified/), so its mount point is looked up.
"""

import errno
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

from components.hosts.errors import HostError

# What the kubelet and containerd use; delegating more would take it from the operator's own programs.
_WANTED = frozenset({"cpu", "cpuset", "io", "memory", "pids"})


def mount_point() -> Path:
    """Return where cgroup v2 is mounted (proc_pid_mountinfo(5)); raise HostError if it is not."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] == "cgroup2":
            return Path(before.split(" ")[4])
    raise HostError("cgroup v2 is not mounted on this machine", "mount -t cgroup2 none /sys/fs/cgroup")


def controllers() -> tuple[str, ...]:
    """Return the controllers that a cgroup of ours can be given, sorted."""
    return tuple(sorted(_WANTED & set((mount_point() / "cgroup.controllers").read_text().split())))


def make(path: Path) -> None:
    """Make the cgroup `path` with its parents, each passing down what controllers there are."""
    root = mount_point()
    folder = root
    for part in path.relative_to(root).parts:
        wanted = _WANTED & set((folder / "cgroup.controllers").read_text().split())
        if wanted:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
        folder /= part
        folder.mkdir(exist_ok=True)


def processes(path: Path) -> list[int]:
    """Return the processes in `path` itself, without those of its children."""
    try:
        return [int(line) for line in (path / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []
    except OSError as error:
        # Removed between opening and reading.
        if error.errno == errno.ENODEV:
            return []
        raise


def populated(path: Path) -> bool:
    """Tell whether a process lives in `path` or below it."""
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def kill(path: Path, *, timeout_seconds: float = 30.0) -> None:
    """Kill every process in `path` and below it at once, and wait until the last is gone.

    Raises HostError if some process does not die in time (it then hangs in the kernel).
    """
    if not populated(path):
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + timeout_seconds
    with (path / "cgroup.events").open("rb", buffering=0) as events:
        poll = select.poll()
        # A change of the file is told as POLLPRI, relative to what was read last.
        poll.register(events, select.POLLPRI)
        while True:
            try:
                os.lseek(events.fileno(), 0, os.SEEK_SET)
                alive = b"populated 1" in events.read()
            except OSError as error:
                # The service manager removes the cgroup of a unit of its own as soon as it is empty.
                if error.errno != errno.ENODEV:
                    raise
                return
            if not alive:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise HostError(f"processes of {path.name} survive SIGKILL", f"see {path}/cgroup.procs")
            poll.poll(left * 1000)


def _below(path: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(path, topdown=False):
        yield Path(folder)


def remove(path: Path) -> None:
    """Remove the empty cgroup `path` and all below it, then those parents of it under `keelson` that became empty."""
    for folder in _below(path):
        folder.rmdir()
    root = mount_point()
    for parent in path.parents:
        if parent == root:
            return
        try:
            parent.rmdir()
        except OSError as error:
            # Another host of the lab came or went in between; it has the parent in its care.
            if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTEMPTY):
                raise
            return
