"""SSH to one host, its key pinned: the only road by which the plugin itself reaches a host (roles go by Ansible).

Fabric on paramiko. Whatever goes wrong on the way is translated here, once, into one sentence that names the host.
"""

from __future__ import annotations

import base64
import binascii
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fabric  # type: ignore[import-untyped]
import paramiko

from components.provider.kinds import ResourceError

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to wait for a host's SSH server before the host counts as unreachable."""
_REMOTE: Final = Path(__file__).parent / "remote"


class UnreachableError(ResourceError):
    """The host does not answer on its SSH port."""


class ImpostorError(ResourceError):
    """What answers is another machine than the one whose key was pinned."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a host is and who it must be: `host_key` is its public key, "type base64"."""

    name: str
    address: str
    port: int
    user: str
    host_key: str
    private_key_path: str

    @classmethod
    def of(cls, host: Mapping[str, Any]) -> Target:
        """Take what matters for a connection from a host's outputs."""
        return cls(
            name=host["name"],
            address=host["address"],
            port=host["port"],
            user=host["user"],
            host_key=host["host_key"],
            private_key_path=host["private_key_path"],
        )

    @property
    def known_hosts_line(self) -> str:
        """The host as a line of OpenSSH's known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        place = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        return f"{place} {self.host_key}\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command on a host ended."""

    status: int
    stdout: str
    stderr: str


class Connection:
    """An open connection; commands run as the target's user, with sudo unless that is root."""

    def __init__(self, target: Target, connection: fabric.Connection) -> None:
        self.target = target
        self._connection = connection

    def run(self, command: str, *, stdin: str = "", timeout: float = 60.0) -> Answer:
        """Run one command line and wait for its end, whatever its status; `timeout` bounds its silence, in seconds."""
        if self.target.user != "root":
            # Without a password, or not at all: nobody is there to type one.
            command = f"sudo -n sh -c {_quote(command)}"
        # Not Fabric's own `run`: its forwarding of standard input is paced for a human's typing.
        try:
            channel = self._connection.transport.open_session(timeout=timeout)
            with channel:
                channel.settimeout(timeout)
                channel.exec_command(command)
                channel.sendall(stdin.encode())
                channel.shutdown_write()
                stdout = channel.makefile("rb").read()
                stderr = channel.makefile_stderr("rb").read()
                status = channel.recv_exit_status()
        except TimeoutError as error:
            raise ResourceError(f"{self.target.name}: a command said nothing for {timeout:g} s") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise UnreachableError(f"{self.target.name}: the SSH connection was lost: {error}") from error
        return Answer(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))

    def run_script(self, name: str, argument: object, *, timeout: float = 60.0) -> Any:
        """Run a script of `remote/` on the host's Python, with a JSON argument, and give its JSON answer.

        Raises `ResourceError` with the last line the script wrote to stderr if it fails.
        """
        source = (_REMOTE / name).read_text()
        # Both go by standard input, since command lines are visible to every account of the host. The script finds its
        # argument as what is left there.
        program = (
            "import sys,json;n,s=json.loads(sys.stdin.readline());exec(compile(s,n,'exec'),{'__name__':'__main__'})"
        )
        payload = f"{json.dumps([name, source])}\n{json.dumps(argument)}\n"
        answer = self.run(f"/usr/bin/python3 -I -c {_quote(program)}", stdin=payload, timeout=timeout)
        if answer.status != 0:
            reason = answer.stderr.strip().splitlines()[-1:] or [f"status {answer.status}"]
            raise ResourceError(f"{self.target.name}: {name}: {reason[0]}")
        return json.loads(answer.stdout)


@contextmanager
def connect(target: Target) -> Iterator[Connection]:
    """Open a connection to a host whose key must be the pinned one.

    Raises `UnreachableError` if it does not answer, `ResourceError` if it is another host or does not let us in.
    """
    kind, key = _parse_key(target)
    connection = fabric.Connection(
        host=target.address,
        user=target.user,
        port=target.port,
        # The operator's own SSH settings must not decide who a host is or how it is reached.
        config=fabric.Config(overrides={"load_ssh_configs": False}, lazy=True),
        connect_timeout=int(CONNECT_TIMEOUT),
        connect_kwargs={
            "key_filename": target.private_key_path,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": CONNECT_TIMEOUT,
        },
    )
    place = target.address if target.port == 22 else f"[{target.address}]:{target.port}"
    connection.client.get_host_keys().add(place, kind, key)
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    where = f"{target.name} ({target.address}:{target.port})"
    try:
        connection.open()
    except paramiko.BadHostKeyException as error:
        raise ImpostorError(
            f"{where}: presents another SSH host key than the pinned one; is this the machine that was meant?"
        ) from error
    except paramiko.AuthenticationException as error:
        raise ResourceError(
            f"{where}: does not accept the key {target.private_key_path} for user {target.user}"
        ) from error
    except (TimeoutError, socket.gaierror, OSError, EOFError, paramiko.SSHException) as error:
        reason = str(error) or type(error).__name__
        if "not found in known_hosts" in reason:
            # The server offered no key of the pinned type at all.
            raise ImpostorError(f"{where}: has no {kind} host key, which is what was pinned") from error
        raise UnreachableError(f"{where}: does not answer SSH: {reason}") from error
    try:
        yield Connection(target, connection)
    finally:
        connection.close()


def _parse_key(target: Target) -> tuple[str, paramiko.PKey]:
    parts = target.host_key.split()
    try:
        return parts[0], paramiko.PKey.from_type_string(parts[0], base64.b64decode(parts[1], validate=True))
    except (IndexError, ValueError, binascii.Error, paramiko.SSHException) as error:
        raise ResourceError(f"{target.name}: its host key {target.host_key!r} is not an SSH public key") from error


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"
