"""The runtime behind a CRI v1 endpoint, such as containerd's socket."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.protobuf import message_factory

from keelson.kubelet._gen import cri_pb2 as cri
from keelson.kubelet.decisions.observations import CONTAINER_NAME, POD_UID, Container, Sandbox, State, User

from . import ports

# Upstream's --runtime-request-timeout; calls that wait for a process add their own time.
_TIMEOUT = 120.0
_MAXIMUM_MESSAGE = 16 * 2**20

_STATES: dict[int, State] = {
    cri.CONTAINER_CREATED: "created",
    cri.CONTAINER_RUNNING: "running",
    cri.CONTAINER_EXITED: "exited",
    cri.CONTAINER_UNKNOWN: "unknown",
}


class CriRuntime:
    """A client of one endpoint. Use as an async context manager."""

    def __init__(self, endpoint: str, *, timeout: float = _TIMEOUT) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Callable[..., Any]] = {}

    async def __aenter__(self) -> CriRuntime:
        self._channel = grpc.aio.insecure_channel(
            self._endpoint,
            options=[
                ("grpc.max_receive_message_length", _MAXIMUM_MESSAGE),
                # A local socket has no name; without this gRPC percent-encodes its path into :authority.
                ("grpc.default_authority", "localhost"),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 3000),
            ],
        )
        for service in cri.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
                self._methods[method.name] = make(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
                )
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _call(self, method: str, request: Any, *, timeout: float | None = 0.0) -> Any:
        """The answer; `timeout` 0 means the client's own, None means no end."""
        try:
            return await self._methods[method](request, timeout=self._timeout if timeout == 0.0 else timeout)
        except grpc.aio.AioRpcError as error:
            raise _translated(method, error) from error

    async def version(self) -> ports.Version:
        """What the runtime is."""
        found = await self._call("Version", cri.VersionRequest(version="v1"))
        return ports.Version(
            name=found.runtime_name, version=found.runtime_version, api_version=found.runtime_api_version
        )

    async def health(self) -> ports.Health:
        """The runtime's two required conditions."""
        answer = await self._call("Status", cri.StatusRequest(), timeout=10)
        conditions = {found.type: found for found in answer.status.conditions}
        runtime, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        return ports.Health(
            runtime_ready=bool(runtime and runtime.status),
            network_ready=bool(network and network.status),
            runtime_message=_sentence(runtime),
            network_message=_sentence(network),
            handlers=tuple(handler.name for handler in answer.runtime_handlers),
        )

    async def set_pod_cidr(self, cidr: str) -> None:
        """Tell the runtime the node's pod CIDR, for network configurations made from a template."""
        network = cri.NetworkConfig(pod_cidr=cidr)
        await self._call(
            "UpdateRuntimeConfig",
            cri.UpdateRuntimeConfigRequest(runtime_config=cri.RuntimeConfig(network_config=network)),
        )

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        """The id of a new sandbox, started and with its network."""
        request = cri.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return str((await self._call("RunPodSandbox", request, timeout=self._timeout * 2)).pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """End the sandbox's processes and give its network back."""
        try:
            await self._call("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))
        except ports.NotFoundError:
            return

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove the sandbox and whatever containers it has."""
        try:
            await self._call("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))
        except ports.NotFoundError:
            return

    async def sandboxes(self, uid: str = "") -> list[Sandbox]:
        """All sandboxes, or one pod's, without their addresses."""
        chosen = cri.PodSandboxFilter(label_selector={POD_UID: uid} if uid else {})
        answer = await self._call("ListPodSandbox", cri.ListPodSandboxRequest(filter=chosen))
        return [_sandbox(found) for found in answer.items]

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        """One sandbox with its addresses."""
        answer = await self._call("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        return _sandbox(answer.status)

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        """The id of a new container in the sandbox, not yet started."""
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        return str((await self._call("CreateContainer", request)).container_id)

    async def start_container(self, container_id: str) -> None:
        """Start a created container."""
        await self._call("StartContainer", cri.StartContainerRequest(container_id=container_id))

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        """Ask its processes to end and kill them after the grace period, which counts whole seconds."""
        request = cri.StopContainerRequest(container_id=container_id, timeout=math.ceil(grace_seconds))
        try:
            await self._call("StopContainer", request, timeout=self._timeout + grace_seconds)
        except ports.NotFoundError:
            return

    async def remove_container(self, container_id: str) -> None:
        """Remove a container, killing it where it runs."""
        try:
            await self._call("RemoveContainer", cri.RemoveContainerRequest(container_id=container_id))
        except ports.NotFoundError:
            return

    async def containers(self, uid: str = "") -> list[Container]:
        """All containers, or one pod's, without the moments and results of their processes."""
        chosen = cri.ContainerFilter(label_selector={POD_UID: uid} if uid else {})
        answer = await self._call("ListContainers", cri.ListContainersRequest(filter=chosen))
        return [_listed(found) for found in answer.containers]

    async def container(self, container_id: str) -> Container:
        """One container in full."""
        answer = await self._call("ContainerStatus", cri.ContainerStatusRequest(container_id=container_id))
        return _container(answer.status)

    async def reopen_log(self, container_id: str) -> None:
        """Write to the log file anew, after it was renamed."""
        await self._call("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=container_id))

    async def usages(self) -> list[ports.Usage]:
        """What each running container has used."""
        answer = await self._call("ListContainerStats", cri.ListContainerStatsRequest())
        return [_usage(found) for found in answer.stats]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ports.ExecResult:
        """Run a command to its end, at most `timeout` seconds."""
        request = cri.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=max(1, int(timeout)))
        answer = await self._call("ExecSync", request, timeout=timeout + 10)
        return ports.ExecResult(exit_code=answer.exit_code, stdout=answer.stdout, stderr=answer.stderr)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """Where to stream this command's input and output."""
        request = cri.ExecRequest(
            container_id=container_id, cmd=list(command), tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await self._call("Exec", request)).url)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        """Where to stream the container's first process's input and output."""
        request = cri.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return str((await self._call("Attach", request)).url)

    async def port_forward_url(self, sandbox_id: str, ports_: Sequence[int]) -> str:
        """Where to stream connections to ports of the sandbox."""
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=list(ports_))
        return str((await self._call("PortForward", request)).url)

    async def images(self) -> list[ports.Image]:
        """The images that are present."""
        answer = await self._call("ListImages", cri.ListImagesRequest())
        return [_image(found) for found in answer.images]

    async def image(self, name: str) -> ports.Image | None:
        """The image of this name or id, None where it is not present."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=name))
        answer = await self._call("ImageStatus", request)
        return _image(answer.image) if answer.HasField("image") else None

    async def pull_image(
        self, name: str, sandbox_config: cri.PodSandboxConfig | None, auth: cri.AuthConfig | None = None
    ) -> str:
        """Pull the image from its registry; its id."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=name), sandbox_config=sandbox_config, auth=auth)
        return str((await self._call("PullImage", request, timeout=None)).image_ref)

    async def remove_image(self, name: str) -> None:
        """Remove the image."""
        try:
            await self._call("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=name)))
        except ports.NotFoundError:
            return

    async def image_file_system(self) -> ports.FileSystem | None:
        """Where images lie, None where the runtime does not know yet."""
        answer = await self._call("ImageFsInfo", cri.ImageFsInfoRequest())
        for found in answer.image_filesystems:
            return ports.FileSystem(mount_point=found.fs_id.mountpoint, used_bytes=found.used_bytes.value)
        return None

    async def events(self) -> AsyncIterator[str]:
        """UIDs of pods to whose containers something happened (KEP-3386)."""
        try:
            async for event in self._methods["GetContainerEvents"](cri.GetEventsRequest()):
                status = event.pod_sandbox_status
                if uid := (status.metadata.uid or status.labels.get(POD_UID, "")):
                    yield uid
        except grpc.aio.AioRpcError as error:
            raise _translated("GetContainerEvents", error) from error


def _translated(method: str, error: grpc.aio.AioRpcError) -> ports.CriError:
    kinds: dict[grpc.StatusCode, type[ports.CriError]] = {
        grpc.StatusCode.NOT_FOUND: ports.NotFoundError,
        grpc.StatusCode.UNAVAILABLE: ports.UnreachableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: ports.DeadlineError,
        grpc.StatusCode.UNIMPLEMENTED: ports.UnsupportedError,
    }
    return kinds.get(error.code(), ports.CriError)(f"{method}: {error.details() or error.code().name}")


def _sentence(condition: Any) -> str:
    if condition is None:
        return "the runtime does not report this condition"
    return "" if condition.status else f"{condition.reason}: {condition.message}"


def _moment(nanoseconds: int) -> datetime | None:
    # Exact to the microsecond; a float of nanoseconds would not be.
    if nanoseconds <= 0:
        return None
    seconds, rest = divmod(nanoseconds, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


_EPOCH = datetime.fromtimestamp(0, UTC)


def _sandbox(found: Any) -> Sandbox:
    ips: tuple[str, ...] = ()
    host = False
    if isinstance(found, cri.PodSandboxStatus):
        if found.network.ip:
            ips = (found.network.ip, *(extra.ip for extra in found.network.additional_ips))
        host = found.linux.namespaces.options.network == cri.NODE
    return Sandbox(
        id=found.id,
        uid=found.metadata.uid,
        name=found.metadata.name,
        namespace=found.metadata.namespace,
        attempt=found.metadata.attempt,
        ready=found.state == cri.SANDBOX_READY,
        created_at=_moment(found.created_at) or _EPOCH,
        ips=ips,
        host_network=host,
        labels=dict(found.labels),
        annotations=dict(found.annotations),
    )


def _listed(found: cri.Container) -> Container:
    return Container(
        id=found.id,
        sandbox_id=found.pod_sandbox_id,
        name=found.labels.get(CONTAINER_NAME, found.metadata.name),
        attempt=found.metadata.attempt,
        state=_STATES[found.state],
        created_at=_moment(found.created_at) or _EPOCH,
        image=found.image.user_specified_image or found.image.image,
        image_id=found.image_id or found.image_ref,
        labels=dict(found.labels),
        annotations=dict(found.annotations),
    )


def _container(found: cri.ContainerStatus) -> Container:
    user = found.user.linux if found.HasField("user") and found.user.HasField("linux") else None
    return Container(
        id=found.id,
        sandbox_id="",
        name=found.labels.get(CONTAINER_NAME, found.metadata.name),
        attempt=found.metadata.attempt,
        state=_STATES[found.state],
        created_at=_moment(found.created_at) or _EPOCH,
        started_at=_moment(found.started_at),
        finished_at=_moment(found.finished_at),
        exit_code=found.exit_code,
        reason=found.reason,
        message=found.message,
        image=found.image.user_specified_image or found.image.image,
        image_id=found.image_ref or found.image_id,
        log_path=found.log_path,
        user=User(uid=user.uid, gid=user.gid, groups=tuple(user.supplemental_groups)) if user else None,
        labels=dict(found.labels),
        annotations=dict(found.annotations),
    )


def _usage(found: cri.ContainerStats) -> ports.Usage:
    def number(message: Any, name: str) -> int | None:
        return int(getattr(message, name).value) if message.HasField(name) else None

    return ports.Usage(
        container_id=found.attributes.id,
        labels=dict(found.attributes.labels),
        cpu_nanoseconds=number(found.cpu, "usage_core_nano_seconds"),
        memory_bytes=number(found.memory, "usage_bytes"),
        working_set_bytes=number(found.memory, "working_set_bytes"),
        disk_bytes=number(found.writable_layer, "used_bytes"),
    )


def _image(found: cri.Image) -> ports.Image:
    return ports.Image(
        id=found.id,
        names=tuple(found.repo_tags),
        digests=tuple(found.repo_digests),
        size=found.size,
        user=str(found.uid.value) if found.HasField("uid") else found.username,
        pinned=found.pinned,
    )
