"""What the kubelet asks of a container runtime: CRI v1's calls, with typed errors and observations as answers.

Requests carry CRI's own configuration messages, because they are the vocabulary of the port; what comes back is
translated once, here at the boundary, into the types that decisions work on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keelson.kubelet._gen import cri_pb2 as cri
from keelson.kubelet.decisions.observations import Container, Sandbox


class CriError(Exception):
    """The runtime refused or failed; the message is its own, first the call's name."""


class UnreachableError(CriError):
    """The runtime does not answer at its endpoint."""


class NotFoundError(CriError):
    """The runtime knows nothing of this id or image."""


class DeadlineError(CriError):
    """The call did not end in its time; what it asked for may still happen."""


class UnsupportedError(CriError):
    """The runtime is too old for this call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What the runtime is: name ("containerd"), its version, the CRI version it speaks."""

    name: str
    version: str
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether pods can be made (`runtime_ready`) and get a network (`network_ready`), each with a reason if not."""

    runtime_ready: bool
    network_ready: bool
    runtime_message: str = ""
    network_message: str = ""
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is present; `size` in bytes. `user`: the uid or the name that it runs as, "" for root."""

    id: str
    names: tuple[str, ...]
    digests: tuple[str, ...] = ()
    size: int = 0
    user: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What a command run in a container gave."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container has used: CPU in nanoseconds of core time, memory and disk in bytes; None where unknown."""

    container_id: str
    labels: dict[str, str] = field(default_factory=dict)
    cpu_nanoseconds: int | None = None
    memory_bytes: int | None = None
    working_set_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """Where the runtime keeps images, and how much of it they take."""

    mount_point: str
    used_bytes: int


class Runtime(Protocol):
    """A container runtime. Every call raises CriError or one of its subclasses.

    Stopping and removing are idempotent: what is not there any more is no error.
    """

    async def version(self) -> Version: ...
    async def health(self) -> Health: ...
    async def set_pod_cidr(self, cidr: str) -> None: ...

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str: ...
    async def stop_sandbox(self, sandbox_id: str) -> None: ...
    async def remove_sandbox(self, sandbox_id: str) -> None: ...
    async def sandboxes(self, uid: str = "") -> list[Sandbox]: ...
    async def sandbox(self, sandbox_id: str) -> Sandbox: ...

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, grace_seconds: float) -> None: ...
    async def remove_container(self, container_id: str) -> None: ...
    async def containers(self, uid: str = "") -> list[Container]: ...
    async def container(self, container_id: str) -> Container: ...
    async def reopen_log(self, container_id: str) -> None: ...
    async def usages(self) -> list[Usage]: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...
    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str: ...
    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...
    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def images(self) -> list[Image]: ...
    async def image(self, name: str) -> Image | None: ...
    async def pull_image(
        self, name: str, sandbox_config: cri.PodSandboxConfig | None, auth: cri.AuthConfig | None = None
    ) -> str: ...
    async def remove_image(self, name: str) -> None: ...
    async def image_file_system(self) -> FileSystem | None: ...

    def events(self) -> AsyncIterator[str]:
        """The UIDs of pods as something happens to their containers; UnsupportedError where there are no events."""
        ...
