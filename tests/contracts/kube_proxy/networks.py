"""A node and its pods as network namespaces, joined by veth pairs, for tests that send real packets.

`node` routes between its pods (routed veths, as the ptp plugin makes them) and a host `outside`. Servers answer with
their pod's name and the address that they saw.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tests import waits

_SERVER = """
import socket, sys, threading
name, port = sys.argv[1], int(sys.argv[2])
tcp = socket.create_server(("0.0.0.0", port))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", port))
def datagrams():
    while True:
        _, peer = udp.recvfrom(100)
        udp.sendto(f"{name} {peer[0]}".encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
print("ready", flush=True)
while True:
    connection, peer = tcp.accept()
    connection.sendall(f"{name} {peer[0]}".encode())
    connection.close()
"""

_CLIENT = """
import socket, sys
kind, address, port, count, source = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
for _ in range(count):
    try:
        if kind == "tcp":
            with socket.create_connection((address, port), timeout=1) as connection:
                print(connection.makefile().read())
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
                channel.settimeout(1)
                channel.bind(("", source))
                channel.connect((address, port))
                channel.send(b"x")
                print(channel.recv(100).decode())
    except TimeoutError:
        print("timeout")
    except ConnectionRefusedError:
        print("refused")
"""


def run(*command: str, text: str = "") -> str:
    """Run a command to its end; its output. CalledProcessError where it fails."""
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Have this thread, and the processes that it starts, in a network namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:  # noqa: PTH123
        if libc.setns(other.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(own.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


def eventually(check: Callable[[], bool], what: str, *, patience: float = 20.0) -> None:
    """Ask until it is so: another process tells nobody when it is done. AssertionError after `patience` seconds."""
    waits.blocked_until(check, what, seconds=patience)


class Daemon:
    """A daemon of ours as its own process; started by `start`, its log in a file."""

    def __init__(self, package: str, arguments: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, "-m", package, *arguments]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it in the namespace of the calling thread."""
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(self._command, stdout=file, stderr=file)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and wait; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(20)
        self._process = None
        return status

    def resident(self) -> int:
        """Its resident memory in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:"))) // 1024


class Network:
    """Namespaces of one test; `node` is 10.9.0.1 towards 10.9.0.2 (`outside`), pods are 10.8.0.x."""

    def __init__(self) -> None:
        self._prefix = f"kp{os.getpid()}"
        self._servers: list[subprocess.Popen[str]] = []
        self.pods: dict[str, str] = {}

    def namespace(self, name: str) -> str:
        """The kernel's name of a namespace."""
        return f"{self._prefix}-{name}"

    def execute(self, where: str, *command: str, text: str = "") -> str:
        """Run a command in a namespace."""
        return run("ip", "netns", "exec", self.namespace(where), *command, text=text)

    def __enter__(self) -> Network:
        try:
            for name in ("node", "outside"):
                run("ip", "netns", "add", self.namespace(name))
                self.execute(name, "ip", "link", "set", "lo", "up")
            self.execute("node", "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self._link("outside", "10.9.0.1/24", "10.9.0.2/24")
            self.execute("outside", "ip", "route", "add", "default", "via", "10.9.0.1")
            # A virtual address needs some route, or the kernel refuses before any rule sees the packet.
            self.execute("node", "ip", "route", "add", "default", "via", "10.9.0.2")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.kill()
            server.communicate()
        listed = run("ip", "netns", "list").split()
        for name in ("node", "outside", *self.pods):
            if self.namespace(name) in listed:
                run("ip", "netns", "delete", self.namespace(name))

    def _link(self, name: str, near: str, far: str) -> None:
        device = f"v-{name}"[:15]
        run(
            *("ip", "link", "add", device, "netns", self.namespace("node"), "type", "veth"),
            *("peer", "name", "eth0", "netns", self.namespace(name)),
        )
        self.execute("node", "ip", "address", "add", near, "dev", device)
        self.execute("node", "ip", "link", "set", device, "up")
        self.execute(name, "ip", "address", "add", far, "dev", "eth0")
        self.execute(name, "ip", "link", "set", "eth0", "up")

    def pod(self, name: str, *ports: int) -> str:
        """Add a pod that serves on these ports; its address."""
        address = f"10.8.0.{len(self.pods) + 2}"
        run("ip", "netns", "add", self.namespace(name))
        self.pods[name] = address
        self.execute(name, "ip", "link", "set", "lo", "up")
        self._link(name, "10.8.0.1/32", f"{address}/32")
        self.execute("node", "ip", "route", "add", address, "dev", f"v-{name}"[:15])
        self.execute(name, "ip", "route", "add", "10.8.0.1", "dev", "eth0")
        self.execute(name, "ip", "route", "add", "default", "via", "10.8.0.1")
        self.serve(name, *ports)
        return address

    def serve(self, name: str, *ports: int) -> None:
        """Answer in a namespace on these ports until the network ends."""
        for port in ports:
            server = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(name), sys.executable, "-S", "-c", _SERVER, name, str(port)],
                stdout=subprocess.PIPE,
                text=True,
            )
            self._servers.append(server)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"

    def ask(
        self, where: str, address: str, port: int, *, kind: str = "tcp", count: int = 1, source: int = 0
    ) -> list[str]:
        """The answers to `count` connections from a namespace: "pod source", "timeout" or "refused".

        `source` is the port that datagrams are sent from.
        """
        numbers = map(str, (port, count, source))
        text = self.execute(where, sys.executable, "-S", "-c", _CLIENT, kind, address, *numbers)
        return text.split("\n")[:-1]
