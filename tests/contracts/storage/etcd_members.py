"""A real etcd on loopback, for the suites that need one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Self


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """One etcd process, alone in its cluster, its data below `folder`; starts and ends with the context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client, self._peer = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its client URL."""
        return f"http://127.0.0.1:{self._client}"

    def start(self) -> None:
        """Start it and wait until it is healthy; it finds its data again."""
        program = shutil.which("etcd")
        if program is None:
            raise RuntimeError("etcd is not on PATH: apt-get install etcd-server")
        peer = f"http://127.0.0.1:{self._peer}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = (self._folder / "etcd.log").open("ab")
        self._process = subprocess.Popen(
            [
                program,
                "--name=member",
                f"--data-dir={self._folder / 'data'}",
                f"--listen-client-urls={self.endpoint}",
                f"--advertise-client-urls={self.endpoint}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=member={peer}",
                "--unsafe-no-fsync",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1):
                    return
            except OSError:
                # Nothing tells that it has elected itself but asking.
                time.sleep(0.05)
        raise RuntimeError(f"etcd did not start; see {self._folder / 'etcd.log'}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
