"""A runtime in memory that obeys the same contract: what tests of workers drive, with processes that end on command."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from keelson.kubelet._gen import cri_pb2 as cri
from keelson.kubelet.decisions.observations import CONTAINER_NAME, POD_UID, Container, Sandbox

from . import ports

Executor = Callable[[str, Sequence[str]], ports.ExecResult]


def _system_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class FakeRuntime:
    """Sandboxes and containers as values. `exit` ends a process, `log` holds the calls that change something."""

    clock: Callable[[], datetime] = _system_clock
    present: dict[str, ports.Image] = field(default_factory=dict)
    pullable: set[str] = field(default_factory=set)
    executor: Executor = field(default=lambda _container, _command: ports.ExecResult(exit_code=0))
    network_ready: bool = True
    log: list[str] = field(default_factory=list)
    # A container of this name ignores the request to end until its grace period is over.
    stubborn: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._configs: dict[str, cri.ContainerConfig] = {}
        self._count = 0
        self._changes: asyncio.Queue[str] = asyncio.Queue()

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _changed(self, sandbox_id: str) -> None:
        self._changes.put_nowait(self._sandboxes[sandbox_id].uid)

    def add_image(self, name: str, *, user: str = "") -> None:
        """Make an image present."""
        self.present[name] = ports.Image(id=f"sha256:{name}", names=(name,), size=1000, user=user)

    def config(self, container_id: str) -> cri.ContainerConfig:
        """What a container was made from."""
        return self._configs[container_id]

    def exit(self, name: str, code: int = 0, *, reason: str = "") -> None:
        """End the process of the running container of this name."""
        found = next(c for c in self._containers.values() if c.name == name and c.state == "running")
        self._end(found, code, reason or ("Completed" if code == 0 else "Error"))

    def _end(self, container: Container, code: int, reason: str) -> None:
        self._containers[container.id] = replace(
            container, state="exited", exit_code=code, reason=reason, finished_at=self.clock()
        )
        self._changed(container.sandbox_id)

    async def version(self) -> ports.Version:
        return ports.Version(name="fake", version="1", api_version="v1")

    async def health(self) -> ports.Health:
        message = "" if self.network_ready else "NetworkPluginNotReady: cni plugin not initialized"
        return ports.Health(runtime_ready=True, network_ready=self.network_ready, network_message=message)

    async def set_pod_cidr(self, cidr: str) -> None:
        self.log.append(f"cidr {cidr}")

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        if handler:
            raise ports.CriError(f'RunPodSandbox: no runtime for "{handler}" is configured')
        host = config.linux.security_context.namespace_options.network == cri.NODE
        if not host and not self.network_ready:
            raise ports.CriError("RunPodSandbox: cni plugin not initialized")
        known = (config.metadata.uid, config.metadata.attempt)
        if any((found.uid, found.attempt) == known for found in self._sandboxes.values()):
            raise ports.CriError("RunPodSandbox: failed to reserve sandbox name")
        created = self._id("sandbox")
        self._sandboxes[created] = Sandbox(
            id=created,
            uid=config.metadata.uid,
            name=config.metadata.name,
            namespace=config.metadata.namespace,
            attempt=config.metadata.attempt,
            ready=True,
            created_at=self.clock(),
            ips=() if host else (f"10.0.0.{self._count}",),
            host_network=host,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self.log.append(f"run sandbox {config.metadata.name}")
        self._changed(created)
        return created

    async def stop_sandbox(self, sandbox_id: str) -> None:
        found = self._sandboxes.get(sandbox_id)
        if found is None or not found.ready:
            return
        for container in list(self._containers.values()):
            if container.sandbox_id == sandbox_id and container.state == "running":
                self._end(container, 137, "Error")
        self._sandboxes[sandbox_id] = replace(found, ready=False, ips=())
        self.log.append(f"stop sandbox {found.name}")
        self._changed(sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        if sandbox_id not in self._sandboxes:
            return
        await self.stop_sandbox(sandbox_id)
        self._changed(sandbox_id)
        self._containers = {i: c for i, c in self._containers.items() if c.sandbox_id != sandbox_id}
        del self._sandboxes[sandbox_id]

    async def sandboxes(self, uid: str = "") -> list[Sandbox]:
        return [replace(found, ips=()) for found in self._sandboxes.values() if uid in {"", found.uid}]

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        if sandbox_id not in self._sandboxes:
            raise ports.NotFoundError(f"PodSandboxStatus: no sandbox {sandbox_id}")
        return self._sandboxes[sandbox_id]

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        if sandbox_id not in self._sandboxes:
            raise ports.NotFoundError(f"CreateContainer: no sandbox {sandbox_id}")
        if await self.image(config.image.image) is None:
            raise ports.NotFoundError(f"CreateContainer: no image {config.image.image}")
        same = (sandbox_id, config.metadata.name, config.metadata.attempt)
        if any((c.sandbox_id, c.name, c.attempt) == same for c in self._containers.values()):
            raise ports.CriError("CreateContainer: failed to reserve container name")
        created = self._id("container")
        self._configs[created] = config
        self._containers[created] = Container(
            id=created,
            sandbox_id=sandbox_id,
            name=config.labels.get(CONTAINER_NAME, config.metadata.name),
            attempt=config.metadata.attempt,
            state="created",
            created_at=self.clock(),
            image=config.image.user_specified_image or config.image.image,
            image_id=config.image.image,
            log_path=f"{sandbox_config.log_directory}/{config.log_path}",
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self._changed(sandbox_id)
        return created

    async def start_container(self, container_id: str) -> None:
        found = await self.container(container_id)
        if found.state != "created":
            raise ports.CriError(f"StartContainer: container is in {found.state} state")
        self._containers[container_id] = replace(found, state="running", started_at=self.clock())
        self.log.append(f"start {found.name}")
        self._changed(found.sandbox_id)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        found = self._containers.get(container_id)
        if found is None or found.state == "exited":
            return
        self.log.append(f"stop {found.name} {math.ceil(grace_seconds)}")
        killed = found.name in self.stubborn
        self._end(found, 137 if killed else 143, "Error")

    async def remove_container(self, container_id: str) -> None:
        found = self._containers.pop(container_id, None)
        if found is not None:
            self.log.append(f"remove {found.name}")
            self._changed(found.sandbox_id)

    async def containers(self, uid: str = "") -> list[Container]:
        return [found for found in self._containers.values() if uid in {"", found.labels.get(POD_UID)}]

    async def container(self, container_id: str) -> Container:
        if container_id not in self._containers:
            raise ports.NotFoundError(f"ContainerStatus: no container {container_id}")
        return self._containers[container_id]

    async def reopen_log(self, container_id: str) -> None:
        await self.container(container_id)
        self.log.append(f"reopen {container_id}")

    async def usages(self) -> list[ports.Usage]:
        return [ports.Usage(container_id=c.id) for c in self._containers.values() if c.state == "running"]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ports.ExecResult:
        found = await self.container(container_id)
        if found.state != "running":
            raise ports.CriError("ExecSync: container is not running")
        return self.executor(found.name, command)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        await self.container(container_id)
        return f"http://127.0.0.1:1/exec/{container_id}"

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        await self.container(container_id)
        return f"http://127.0.0.1:1/attach/{container_id}"

    async def port_forward_url(self, sandbox_id: str, ports_: Sequence[int]) -> str:
        await self.sandbox(sandbox_id)
        return f"http://127.0.0.1:1/portforward/{sandbox_id}"

    async def images(self) -> list[ports.Image]:
        return list(self.present.values())

    async def image(self, name: str) -> ports.Image | None:
        return next((i for i in self.present.values() if name == i.id or name in i.names), None)

    async def pull_image(
        self, name: str, sandbox_config: cri.PodSandboxConfig | None, auth: cri.AuthConfig | None = None
    ) -> str:
        if name not in self.pullable:
            raise ports.CriError(f"PullImage: failed to resolve reference {name}")
        self.add_image(name)
        self.log.append(f"pull {name}")
        return self.present[name].id

    async def remove_image(self, name: str) -> None:
        found = await self.image(name)
        if found is not None:
            self.present = {key: image for key, image in self.present.items() if image.id != found.id}

    async def image_file_system(self) -> ports.FileSystem | None:
        return None

    async def events(self) -> AsyncIterator[str]:
        while True:
            yield await self._changes.get()
