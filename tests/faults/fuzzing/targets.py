"""What is fuzzed: a real server over TLS, asked by an administrator, and judged by what it answers and spends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing.requests import Case

CPU_SECONDS = 1.0
"""What one request may cost the server."""
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024
_ANSWER_SECONDS = 0.2
_FRESH_SECONDS = 60.0


def counts(few: int, many: int) -> pytest.MarkDecorator:
    """A test by `examples`: few in every run, many in the nightly one."""
    values = [pytest.param(few, id="some"), pytest.param(many, id="many", marks=pytest.mark.nightly)]
    return pytest.mark.parametrize("examples", values)


class Target:
    """A server that must survive, and what it spends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        certificate, key = cluster.authority.issue("fuzz", ["system:masters"])
        self.context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
        self.context.load_cert_chain(cluster.write("fuzz.crt", certificate), cluster.write("fuzz.key", key))
        self._nobody = ssl.create_default_context(cadata=cluster.authority.pem.decode())
        self._connection: http.client.HTTPSConnection | None = None
        self._asked = 0.0

    def cpu(self) -> float:
        """Seconds that the server has computed so far."""
        fields = Path(f"/proc/{self.cluster.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> float:
        """MiB of memory that the server's own data takes."""
        status = Path(f"/proc/{self.cluster.pid}/status").read_text(encoding="ascii")
        return int(status.partition("RssAnon:")[2].split()[0]) / _KIB

    def descriptors(self) -> int:
        """How many files and sockets the server has open."""
        return sum(1 for _ in Path(f"/proc/{self.cluster.pid}/fd").iterdir())

    def ask(self, case: Case, accept: str = "application/json") -> tuple[int, bytes]:
        """(status, body) of the answer."""
        if time.monotonic() - self._asked > _FRESH_SECONDS:
            # The server ends connections on which nothing was asked for two minutes.
            self.close()
        self._asked = time.monotonic()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "localhost", self.cluster.port, context=self.context, timeout=30
            )
        headers = {"Accept": accept, **({"Content-Type": case.media_type} if case.body else {})}
        try:
            self._connection.putrequest(case.method, case.path, skip_accept_encoding=True)
            for name, value in headers.items():
                self._connection.putheader(name, value)
            if case.body or case.method not in ("GET", "HEAD"):
                self._connection.putheader("Content-Length", str(len(case.body)))
            self._connection.endheaders(case.body or None)
            answer = self._connection.getresponse()
            body = answer.read()
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return answer.status, body

    def close(self) -> None:
        """Leave the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def judge(self, case: Case) -> None:
        """Send a request; AssertionError where the answer is not what a client of any kind deserves."""
        with self.frugal():
            status, body = self.ask(case)
        ahead = status == 504 and b"Too large resource version" in body
        assert status < 500 or ahead, (status, body, self.cluster.log[-3000:])
        if status >= 400 and case.method != "HEAD" and body.startswith(b"{"):
            said = json.loads(body)
            assert (said["kind"], said["status"], said["code"]) == ("Status", "Failure", status)

    @contextlib.contextmanager
    def frugal(self) -> Iterator[None]:
        """What happens meanwhile must not cost the server more than one request may."""
        before = self.cpu()
        yield
        spent = self.cpu() - before
        assert spent <= CPU_SECONDS, spent

    @contextlib.contextmanager
    def connected(self, *, anonymous: bool = False) -> Iterator[ssl.SSLSocket]:
        """A connection to say anything on."""
        context = self._nobody if anonymous else self.context
        with (
            socket.create_connection(("127.0.0.1", self.cluster.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as channel,
        ):
            yield channel

    def raw(self, data: bytes) -> list[int]:
        """The statuses of the answers to bytes, after which no more are sent."""
        with self.connected() as channel:
            answer = said(channel, data)
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def said(channel: ssl.SSLSocket, data: bytes, seconds: float = _ANSWER_SECONDS) -> bytes:
    """What the server says to these bytes until it hangs up, or has been silent for so long."""
    answer = b""
    try:
        channel.sendall(data)
        channel.settimeout(seconds)
        while part := channel.recv(65536):
            answer += part
    except (TimeoutError, ConnectionError, ssl.SSLError):
        # It waits for the rest of what is right so far, or has hung up.
        pass
    return answer


def run(examples: int, cases: some.SearchStrategy[Any], judge: Callable[[Any], None]) -> None:
    """Try this many of the cases: the same ones every time where they are few."""

    @settings(
        max_examples=examples,
        derandomize=examples < 1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(cases)
    def tried(case: Any) -> None:
        judge(case)

    tried()
