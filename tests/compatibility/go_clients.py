"""Programs on client-go as processes: `tools/clients`, built once per machine, and how it is spoken to."""

from __future__ import annotations

import functools
import json
import os
import platform
import queue
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from components.setup import caches, go_modules
from tests.compatibility import daemons
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

_PATIENCE_SECONDS = 60.0


@functools.cache
def _program() -> Path:
    module = ROOT / "tools" / "clients"
    folder = caches.entry(
        "clients",
        caches.digest([platform.machine()], sorted(module.iterdir())),
        lambda place: go_modules.build(module, ".", place / "clients"),
        what="building the programs on client-go",
    )
    return folder / "clients"


class Program:
    """One process that is a `part` of tools/clients; ends with its context.

    `gates` are features of client-go by name; `flags` are added.
    """

    def __init__(
        self, cluster: Cluster, part: str, name: str, *flags: str, gates: Mapping[str, bool] | None = None
    ) -> None:
        self.name = name
        self._path = cluster.folder / f"{name}.log"
        config = cluster.folder / "admin.conf"
        self._command = [str(_program()), f"-kubeconfig={config}", f"-part={part}", f"-name={name}", *flags]
        # How client-go's features are switched (its package features/envvar).
        switches = {f"KUBE_FEATURE_{gate}": str(on).lower() for gate, on in (gates or {}).items()}
        self._environment = {**os.environ, **switches}
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self._reader: threading.Thread | None = None
        self.lines: queue.Queue[Any] = queue.Queue()

    def __enter__(self) -> Self:
        self._log = self._path.open("w")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, env=self._environment
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        return self

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self.lines.put(json.loads(line))

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it; what it told last is there then."""
        assert self._reader is not None
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._reader.join()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def told(self) -> Any:
        """The next thing that it tells."""
        try:
            return self.lines.get(timeout=_PATIENCE_SECONDS)
        except queue.Empty:
            raise AssertionError(f"{self.name} is silent:\n{self.log[-3000:]}") from None

    def asked(self, question: str = "") -> Any:
        """What it tells when it is asked something."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self.told()

    @property
    def log(self) -> str:
        """All that client-go has logged."""
        return self._path.read_text(encoding="utf-8")

    def complaints(self) -> Counter[str]:
        """What client-go has logged as errors, without what varies between runs."""
        return daemons.complaints(self.name, self.log)
