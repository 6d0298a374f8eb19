"""Programs that set-up runs: their output is kept, shown as progress, and quoted when they fail."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.setup import progress
from components.setup.errors import SetupError

_TAIL_LINES = 12
_NOTE_COLUMNS = 90


def run(
    arguments: Sequence[str | Path],
    *,
    label: str,
    remedy: str,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> list[str]:
    """Run a program that may take long, and return the last lines it wrote.

    Every few seconds one line shows `label` and the program's newest line. A program that cannot be started or exits
    non-zero raises SetupError with `remedy`, after its last lines were shown.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SetupError(f"{label}: cannot run {arguments[0]} ({error.strerror})", remedy) from error
    with process, progress.heartbeat(label, lambda: tail[-1][:_NOTE_COLUMNS] if tail else ""):
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        for line in process.stdout:
            if line.strip():
                tail.append(line.rstrip())
    if process.returncode != 0:
        for line in tail:
            progress.say(f"  {line}")
        raise SetupError(f"{label}: {Path(arguments[0]).name} ended with {process.returncode}", remedy)
    return list(tail)


def capture(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Return the standard output of a short program; raise SetupError with what it complained of if it fails."""
    name = Path(arguments[0]).name
    try:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=environment,
            cwd=directory,
            text=True,
            check=True,
        )
    except OSError as error:
        raise SetupError(f"cannot run {name} ({error.strerror})", "is it installed?") from error
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr.strip() or error.stdout.strip() or "without a word").splitlines()
        raise SetupError(f"{name} ended with {error.returncode}", "; ".join(complaint[-3:])) from error
    return done.stdout


def attend(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> int:
    """Run a program on the operator's own terminal and return its exit status (128 plus the signal's number if killed).

    Ctrl-C reaches the program through the terminal's process group and is the program's to answer, so that Pulumi can
    end its operations in order; a TERM sent to us alone is passed on as the same interrupt.
    """
    process = subprocess.Popen([str(argument) for argument in arguments], env=environment, cwd=directory)
    # Set only now: a child inherits an ignored signal.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)
    return status if status >= 0 else 128 - status


def search_path(*first: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Return a PATH that looks into `first` before what it held, each folder once."""
    old = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([*map(str, first), *old]))
