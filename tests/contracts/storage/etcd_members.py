"""A real etcd on loopback, for the suites that need one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """One etcd process, its data below `folder`; starts and ends with the context.

    It is alone in its cluster, unless `peers` has the peer URLs of the others by their names. `flags` are added; those
    of certificates are needed where `scheme` is https.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str] = (),
        *,
        name: str = "member",
        address: str = "127.0.0.1",
        peers: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> None:
        self._folder = folder
        self._flags = list(flags)
        self.name = name
        self.address = address
        self._scheme = scheme
        self._client, self._peer, self._metrics = free_port(), free_port(), free_port()
        self._peers = dict(peers or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its client URL."""
        return f"{self._scheme}://{self.address}:{self._client}"

    @property
    def peer(self) -> str:
        """Its URL for other members."""
        return f"http://{self.address}:{self._peer}"

    @property
    def _health(self) -> str:
        # Apart from the clients' port, which may want certificates.
        return f"http://{self.address}:{self._metrics}"

    @property
    def data(self) -> Path:
        """Where its data lies."""
        return self._folder / "data"

    def join(self, peers: Mapping[str, str]) -> None:
        """Name the peer URLs of the cluster's other members, before the first start."""
        self._peers = dict(peers)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is healthy; it finds its data again."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it."""
        program = shutil.which("etcd")
        if program is None:
            raise RuntimeError("etcd is not on PATH: apt-get install etcd-server")
        cluster = {**self._peers, self.name: self.peer}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = (self._folder / "etcd.log").open("ab")
        self._process = subprocess.Popen(
            [
                program,
                f"--name={self.name}",
                f"--data-dir={self.data}",
                f"--listen-client-urls={self.endpoint}",
                f"--advertise-client-urls={self.endpoint}",
                f"--listen-peer-urls={self.peer}",
                f"--listen-metrics-urls={self._health}",
                f"--initial-advertise-peer-urls={self.peer}",
                f"--initial-cluster={','.join(f'{name}={url}' for name, url in sorted(cluster.items()))}",
                "--unsafe-no-fsync",
                *self._flags,
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def wait(self) -> None:
        """Wait until it is healthy: it has a leader and takes writes."""
        assert self._process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self._health}/health", timeout=1):
                    return
            except OSError:
                # Nothing tells that it has elected itself but asking.
                time.sleep(0.05)
        raise RuntimeError(f"etcd did not start; see {self._folder / 'etcd.log'}")

    def control(self, *arguments: str) -> str:
        """What etcdctl prints, asked at this member; AssertionError with its errors where it fails."""
        command = ["etcdctl", f"--endpoints={self.endpoint}", *arguments]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=30)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def forget(self) -> None:
        """Compact all history before now, a revision that nobody has seen included: whoever comes back finds 410."""
        revision = json.loads(self.control("put", "/forgotten", "", "--write-out=json"))["header"]["revision"]
        self.control("compact", str(revision))

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
