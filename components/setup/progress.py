"""What the operator sees while set-up works.

All of it goes to standard error: the standard output of `make -s env`, `kubeconfig` and `hosts` is data for a shell.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INTERVAL_SECONDS = 5.0


def say(text: str) -> None:
    """Write one line for the operator."""
    sys.stderr.write(f"keelson: {text}\n")
    sys.stderr.flush()


@contextmanager
def heartbeat(
    label: str, detail: Callable[[], str] = str, *, interval_seconds: float = _INTERVAL_SECONDS
) -> Iterator[None]:
    """Repeat `label`, the seconds gone by and `detail()` every few seconds until the block ends."""
    started = time.monotonic()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(interval_seconds):
            note = detail()
            say(f"{label}, {time.monotonic() - started:.0f} s{f', {note}' if note else ''}")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
