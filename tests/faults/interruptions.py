"""`make up` cut short: by Ctrl-C at the operator's terminal, or by a kill -9 of Pulumi's engine or of our plugin."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from tests import clusters
from tests.clusters import Stack

_END_SECONDS = 120


class Cut(Enum):
    """What ends a run before its time."""

    CTRL_C = "ctrl-c"
    ENGINE_KILLED = "kill -9 of the engine"
    PLUGIN_KILLED = "kill -9 of the plugin"


def cut_up(stack: Stack, moment: str, cut: Cut) -> str:
    """Run `make up` until it shows a line that matches `moment`, cut it short there, and return what it showed.

    Raises AssertionError if it ended before that line.
    """
    process = subprocess.Popen(
        ["make", "--silent", "up", f"ENV={stack.name}"],
        cwd=stack.clone,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clusters.environment(),
        # A process group of its own, as a terminal gives each command: Ctrl-C goes to all of it.
        start_new_session=True,
    )
    if process.stdout is None:
        raise AssertionError("a pipe was asked for")
    shown: list[str] = []
    with process:
        for line in process.stdout:
            shown.append(line)
            if re.search(moment, line):
                break
        else:
            raise AssertionError(f"`make up` ended before {moment!r}:\n{''.join(shown[-40:])}")
        _cut(process.pid, cut)
        # Read to the end: a run that nobody listens to would block, and is not over before its last process is.
        rest, _ = process.communicate(timeout=_END_SECONDS)
    assert process.returncode != 0, f"`make up` succeeded in spite of {cut.value}"
    return "".join(shown) + rest


def _cut(make: int, cut: Cut) -> None:
    match cut:
        case Cut.CTRL_C:
            os.killpg(make, signal.SIGINT)
        case Cut.ENGINE_KILLED:
            for pid in [pid for pid in _descendants(make) if _command(pid)[:1] == ["pulumi"]]:
                os.kill(pid, signal.SIGKILL)
        case Cut.PLUGIN_KILLED:
            for pid in [pid for pid in _descendants(make) if "components.provider" in _command(pid)]:
                os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> list[str]:
    """Return a process's command line, its program by its last name; empty if the process is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        # The second is what reading tells of a process that went after its file was opened.
        return []
    return [Path(words[0]).name, *words[1:]]


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from _descendants(child)
