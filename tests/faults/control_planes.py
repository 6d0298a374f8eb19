"""A control plane to break: etcd members and API servers, each process in a network namespace of its own.

The namespaces hang on a bridge in another one, `hub`, where the tests' clients live while the lab is up. Nothing of it
is seen outside. `cut` drops every packet between two of them (nftables), so that a partition is what it is on a
network: silence, and no reset.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.contracts.kube_apiserver.api_servers import Cluster, Keys
from tests.contracts.kube_proxy.networks import entered, run
from tests.contracts.storage.etcd_members import Member

_NUMBERS = itertools.count(1)
_HUB = "10.99.0.1"
_RULES = """
table inet cut {
  set others { type ipv4_addr; }
  set refused { type ipv4_addr; }
  chain input { type filter hook input priority 0; ip saddr @others drop; }
  chain output {
    type filter hook output priority 0;
    ip daddr @refused meta l4proto tcp reject with tcp reset;
    ip daddr @others drop;
  }
}
"""


class ControlPlane:
    """`members` etcd members and `servers` API servers on them; ends with its context.

    With `paired`, server n asks member n alone, else each server asks all members.
    """

    def __init__(
        self,
        folder: Path,
        *,
        members: int = 3,
        servers: int = 2,
        paired: bool = False,
        flags: Sequence[str] = (),
        etcd_flags: Sequence[str] = (),
    ) -> None:
        self._prefix = f"kf{os.getpid()}-{next(_NUMBERS)}"
        self._folder = folder
        self._inside: contextlib.ExitStack | None = None
        self.members = [
            Member(folder / f"etcd-{number}", etcd_flags, name=f"etcd-{number}", address=f"10.99.0.{10 + number}")
            for number in range(1, members + 1)
        ]
        for member in self.members:
            member.join({other.name: other.peer for other in self.members if other is not member})
        keys = Keys()
        self.servers = [
            Cluster(
                folder / f"server-{number}",
                [*flags, f"--advertise-address=10.99.0.{20 + number}"],
                stores=[self.members[number - 1].endpoint] if paired else [each.endpoint for each in self.members],
                address=f"10.99.0.{20 + number}",
                keys=keys,
            )
            for number in range(1, servers + 1)
        ]

    @property
    def _hosts(self) -> Sequence[Member | Cluster]:
        return (*self.members, *self.servers)

    # --- the network

    def _namespace(self, of: Member | Cluster | str) -> str:
        name = of if isinstance(of, str) else of.name if isinstance(of, Member) else of.folder.name
        return f"{self._prefix}-{name}"

    def _execute(self, of: Member | Cluster | str, *command: str, text: str = "") -> str:
        return run("ip", "netns", "exec", self._namespace(of), *command, text=text)

    def _connect(self, of: Member | Cluster, address: str, port: int) -> None:
        run("ip", "netns", "add", self._namespace(of))
        self._execute(of, "ip", "link", "set", "lo", "up")
        run(
            *("ip", "link", "add", f"port{port}", "netns", self._namespace("hub"), "type", "veth"),
            *("peer", "name", "eth0", "netns", self._namespace(of)),
        )
        self._execute("hub", "ip", "link", "set", f"port{port}", "master", "bridge", "up")
        self._execute(of, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        self._execute(of, "ip", "link", "set", "eth0", "up")
        self._execute(of, "nft", "-f", "-", text=_RULES)

    def cut(self, one: Member | Cluster, *others: Member | Cluster) -> None:
        """Drop every packet between `one` and each of the others."""
        self._name("others", one, others)

    def refuse(self, one: Member | Cluster, *others: Member | Cluster) -> None:
        """End the connections that `one` has with each of the others, and let it make none."""
        self._name("refused", one, others)

    def _name(self, rule: str, one: Member | Cluster, others: Sequence[Member | Cluster]) -> None:
        for other in others:
            self._execute(one, "nft", "add", "element", "inet", "cut", rule, f"{{ {other.address} }}")

    def isolate(self, member: Member) -> None:
        """Cut a member off from all others; API servers and clients still reach it."""
        self.cut(member, *(other for other in self.members if other is not member))

    def heal(self) -> None:
        """Undo every cut."""
        for each in self._hosts:
            for rule in ("others", "refused"):
                self._execute(each, "nft", "flush", "set", "inet", "cut", rule)

    # --- the processes

    def launch(self, of: Member | Cluster) -> None:
        """Start a process in its namespace, and do not wait."""
        with entered(self._namespace(of)):
            if isinstance(of, Member):
                of.launch()
            else:
                of.launch_server()

    @staticmethod
    def kill(of: Member | Cluster) -> None:
        """SIGKILL."""
        if isinstance(of, Member):
            of.stop(signal.SIGKILL)
        else:
            of.stop_server(signal.SIGKILL)

    @staticmethod
    @contextlib.contextmanager
    def stopped(of: Member | Cluster) -> Iterator[None]:
        """SIGSTOP a process, and let it go on at the end."""
        os.kill(of.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(of.pid, signal.SIGCONT)

    def leader(self) -> Member:
        """The member that leads. AssertionError where there is none within ten seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for member in self.members:
                with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                    said = member.control("endpoint", "status", "--write-out=json", "--command-timeout=1s")
                    status = json.loads(said)[0]["Status"]
                    if status.get("leader") == status["header"]["member_id"]:
                        return member
            # Nothing tells of an election but asking.
            time.sleep(0.05)
        raise AssertionError("etcd has no leader")

    def __enter__(self) -> Self:
        try:
            run("ip", "netns", "add", self._namespace("hub"))
            self._execute("hub", "ip", "link", "set", "lo", "up")
            self._execute("hub", "ip", "link", "add", "bridge", "type", "bridge")
            self._execute("hub", "ip", "address", "add", f"{_HUB}/24", "dev", "bridge")
            self._execute("hub", "ip", "link", "set", "bridge", "up")
            for port, member in enumerate(self.members):
                self._connect(member, f"10.99.0.{11 + port}", port)
            for port, server in enumerate(self.servers):
                server.folder.mkdir(parents=True, exist_ok=True)
                self._connect(server, server.address, len(self.members) + port)
            self._inside = contextlib.ExitStack()
            self._inside.enter_context(entered(self._namespace("hub")))
            for member in self.members:
                self.launch(member)
            for member in self.members:
                member.wait()
            for server in self.servers:
                self.launch(server)
            for server in self.servers:
                server.wait_server()
                server.kubeconfig()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            listed = run("ip", "netns", "list").split()
            for name in map(self._namespace, ("hub", *self._hosts)):
                if name in listed:
                    stack.callback(run, "ip", "netns", "delete", name)
            if self._inside is not None:
                stack.push(self._inside)
            ends: list[Callable[[], None]] = [
                *(lambda member=member: member.stop(signal.SIGKILL) for member in self.members),
                *(lambda server=server: server.stop_server(signal.SIGKILL) for server in self.servers),
            ]
            for end in ends:
                stack.callback(end)
