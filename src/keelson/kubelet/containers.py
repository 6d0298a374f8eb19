"""Makes, starts and ends one pod's sandboxes and containers: what the decisions name, done to the runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object

from ._gen import cri_pb2 as cri
from .decisions import container_configs, environments, network_files, terminations
from .decisions.container_configs import Mount
from .decisions.container_statuses import Obstacle
from .decisions.observations import TERMINATION_POLICY, Container, RuntimePod
from .decisions.pod_actions import Start
from .environs import Environs
from .handlers import HandlerError
from .images import ImageError
from .log_files import tail
from .runtimes import ports
from .volumes.managers import Volume
from .volumes.projections import VolumeError, token_sources

log = logging.getLogger(__name__)

_MESSAGE_LIMIT = 4096
_FALLBACK_LIMIT, _FALLBACK_LINES = 2048, 80


class StartError(Exception):
    """A container did not come up; `obstacle` is what its status says until the next attempt."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle


@dataclass(kw_only=True)
class Provisions:
    """What was fetched and set up for the pod's containers."""

    sources: environments.Sources = field(default_factory=environments.Sources)
    volumes: Mapping[str, Volume] = field(default_factory=dict)


class PodContainers:
    """One pod's hands on the runtime."""

    def __init__(self, environs: Environs, uid: str) -> None:
        self._on = environs
        self._uid = uid

    def sandbox_config(self, pod: Object, attempt: int) -> cri.PodSandboxConfig:
        """The configuration of the pod's sandbox."""
        on = self._on
        dns = network_files.dns(pod, on.host_dns(), cluster_dns=on.cluster_dns, cluster_domain=on.facts.cluster_domain)
        return container_configs.sandbox_config(pod, dns, on.facts, attempt=attempt)

    async def create_sandbox(self, pod: Object, attempt: int) -> None:
        """Make the pod's sandbox. Raises CriError, ConfigError."""
        config = self.sandbox_config(pod, attempt)
        await asyncio.to_thread(_make_log_folder, Path(config.log_directory))
        handler = await self._handler(pod)
        try:
            await self._on.runtime.run_sandbox(config, handler)
        except ports.CriError as error:
            self._on.tell(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: rpc error: {error}")
            raise

    async def _handler(self, pod: Object) -> str:
        name = pod["spec"].get("runtimeClassName")
        return await self._on.objects.runtime_handler(name) if name else ""

    async def provide(self, pod: Object, *, fresh: bool, pod_ips: Sequence[str] = ()) -> Provisions:
        """Fetch what the pod refers to and set its volumes up. Raises VolumeError, StatusError.

        `fresh` takes no object that was fetched before now: a new pod must see what was written before it.
        """
        on = self._on
        namespace = meta.namespace(pod)
        not_before = on.now() if fresh else None
        names, secret_names = environments.references(pod)
        config_maps = await on.objects.config_maps(namespace, names, not_before)
        secrets = await on.objects.secrets(namespace, secret_names, not_before)
        sources = environments.Sources(
            config_maps=config_maps,
            secrets=secrets,
            services=on.objects.services(),
            host_ips=on.host_ips,
            pod_ips=tuple(pod_ips),
            allocatable=on.allocatable,
        )
        try:
            tokens = {key: await on.objects.token(pod, *key) for key in token_sources(pod)}
        except errors.StatusError as error:
            raise VolumeError(f"MountVolume.SetUp failed: failed to fetch token: {error.message}") from error
        claims = await on.objects.claimed_volumes(pod)
        volumes = await asyncio.to_thread(on.volumes.set_up, pod, sources, tokens, claims)
        return Provisions(sources=sources, volumes=volumes)

    async def start(self, pod: Object, start: Start, observed: RuntimePod, provisions: Provisions) -> None:
        """Bring one container up in the pod's sandbox. Raises StartError; CriError where the runtime is away."""
        on, container = self._on, start.container
        name = container["name"]
        sandbox = observed.ready_sandbox
        if sandbox is None:
            raise StartError(Obstacle("ContainerCreating", "the pod has no sandbox"))
        sandbox_config = self.sandbox_config(pod, sandbox.attempt)

        def tell(type_: Any, reason: str, message: str) -> None:
            on.tell(pod, type_, reason, message, name)

        secrets = [
            content
            for reference in pod["spec"].get("imagePullSecrets") or []
            if (content := provisions.sources.secrets.get(reference.get("name", ""))) is not None
        ]
        try:
            image = await on.images.ensure(pod, container, sandbox_config, secrets, tell)
        except ImageError as error:
            raise StartError(error.obstacle) from error
        restart_count = self._restart_count(pod, container, observed)
        try:
            config = await self._config(pod, container, observed, provisions, restart_count, image)
        except (environments.ConfigError, VolumeError) as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise StartError(Obstacle("CreateContainerConfigError", str(error))) from error
        try:
            created = await on.runtime.create_container(sandbox.id, config, sandbox_config)
        except ports.UnreachableError:
            raise
        except ports.CriError as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise StartError(Obstacle("CreateContainerError", str(error))) from error
        tell("Normal", "Created", f"Container created: {name}")
        try:
            await on.runtime.start_container(created)
        except ports.UnreachableError:
            raise
        except ports.CriError as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise StartError(Obstacle("RunContainerError", str(error))) from error
        tell("Normal", "Started", f"Container started: {name}")
        self._link_log(pod, name, created, f"{sandbox_config.log_directory}/{config.log_path}")
        await self._post_start(pod, container, created)

    def _restart_count(self, pod: Object, container: Object, observed: RuntimePod) -> int:
        latest = observed.latest(container["name"])
        if latest is not None:
            return latest.restart_count + 1
        status = self._on.known_status(self._uid) or pod.get("status") or {}
        for section in ("containerStatuses", "initContainerStatuses"):
            for entry in status.get(section) or []:
                if entry["name"] == container["name"] and entry.get("containerID"):
                    return int(entry.get("restartCount") or 0) + 1
        # The runtime may have forgotten, but log files of earlier instances must not be written over.
        folder = Path(container_configs.log_directory(pod, self._on.facts), container["name"])
        if folder.is_dir():
            numbers = [int(f.name.partition(".")[0]) for f in folder.iterdir() if f.name.partition(".")[0].isdecimal()]
            return max(numbers, default=-1) + 1
        return 0

    async def _config(
        self,
        pod: Object,
        container: Object,
        observed: RuntimePod,
        provisions: Provisions,
        restart_count: int,
        image: ports.Image,
    ) -> cri.ContainerConfig:
        on = self._on
        variables = environments.environment(pod, container, provisions.sources)
        mounts = await asyncio.to_thread(on.volumes.mounts, pod, container, provisions.volumes, dict(variables))
        mounts += await asyncio.to_thread(self._own_mounts, pod, container, provisions, restart_count, mounts)
        target = ""
        if wanted := container.get("targetContainerName"):
            found = observed.latest(wanted)
            if found is None:
                raise environments.ConfigError(f"unable to find target container {wanted}")
            target = found.id
        return container_configs.container_config(
            pod,
            container,
            on.facts,
            restart_count=restart_count,
            image_id=image.id,
            image_user=image.user,
            environment=variables,
            mounts=mounts,
            target_id=target,
        )

    def _own_mounts(
        self, pod: Object, container: Object, provisions: Provisions, restart_count: int, others: Sequence[Mount]
    ) -> list[Mount]:
        """/etc/hosts and the termination message, unless the pod mounts its own there."""
        on = self._on
        taken = {mount.container_path for mount in others}
        result = []
        folder = on.volumes.pod_folder(self._uid)
        if "/etc/hosts" not in taken:
            path = folder / "etc-hosts"
            host_file = on.host_file.read_text(encoding="utf-8") if on.host_file.is_file() else ""
            text = network_files.hosts(
                pod,
                pod_ips=provisions.sources.pod_ips,
                host_file=host_file,
                cluster_domain=on.facts.cluster_domain,
            )
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            # Written in place: running containers have this very file mounted.
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
            result.append(Mount(container_path="/etc/hosts", host_path=str(path)))
        target = container.get("terminationMessagePath") or "/dev/termination-log"
        if target not in taken:
            path = self._message_file(container["name"], restart_count)
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            path.touch()
            # Containers run as any user; upstream opens it to all of them too.
            path.chmod(0o666)
            result.append(Mount(container_path=target, host_path=str(path)))
        return result

    def _message_file(self, name: str, restart_count: int) -> Path:
        return self._on.volumes.pod_folder(self._uid) / "containers" / name / f"termination-{restart_count}"

    def termination_messages(self, observed: RuntimePod) -> dict[str, str]:
        """What instances that exited left to say, by container id."""
        result = {}
        for found in observed.containers:
            if found.state != "exited":
                continue
            path = self._message_file(found.name, found.restart_count)
            try:
                with path.open("rb") as stream:
                    text = stream.read(_MESSAGE_LIMIT)
            except FileNotFoundError:
                text = b""
            fallback = found.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError"
            if not text and fallback and found.exit_code and found.log_path:
                text = tail(Path(found.log_path), lines=_FALLBACK_LINES, limit=_FALLBACK_LIMIT)
            if text:
                result[found.id] = text.decode(errors="replace")
        return result

    def _link_log(self, pod: Object, name: str, container_id: str, path: str) -> None:
        """The flat name by which log collectors find a container's log (/var/log/containers)."""
        folder = Path(self._on.facts.log_folder).parent / "containers"
        link = folder / f"{meta.name(pod)}_{meta.namespace(pod)}_{name}-{container_id}.log"
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        except OSError as error:
            log.warning("%s: %s", link, error)

    async def _post_start(self, pod: Object, container: Object, container_id: str) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        on = self._on
        instance = await on.runtime.container(container_id)
        observed = await on.relister.refresh(self._uid)
        try:
            result = await on.handlers.run(hook, container, instance, self._address(observed), 120.0)
            problem = "" if result.passed else result.output or "the hook failed"
        except HandlerError as error:
            problem = str(error)
        if not problem:
            return
        name = container["name"]
        on.tell(pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {problem}", name)
        await self.kill(pod, container, instance, terminations.grace_seconds(pod), f"FailedPostStartHook: {problem}")
        raise StartError(Obstacle("PostStartHookError", problem))

    def _address(self, observed: RuntimePod) -> str:
        sandbox = observed.ready_sandbox
        if sandbox is None:
            return ""
        return next(iter(self._on.host_ips if sandbox.host_network else sandbox.ips), "")

    async def kill(self, pod: Object, container: Object, instance: Container, grace: float, why: str = "") -> None:
        """End one instance: its preStop hook, then the signal, then force, all within the grace period."""
        on = self._on
        name = instance.name
        if instance.state == "running":
            on.tell(pod, "Normal", "Killing", why or f"Stopping container {name}", name)
        hook = (container.get("lifecycle") or {}).get("preStop")
        if hook and grace > 0 and instance.state == "running":
            loop = asyncio.get_running_loop()
            started = loop.time()
            observed = on.relister.pod(self._uid)
            try:
                async with asyncio.timeout(grace):
                    result = await on.handlers.run(hook, container, instance, self._address(observed), grace)
                problem = "" if result.passed else result.output or "the hook failed"
            except TimeoutError:
                problem = f"the hook did not end within the grace period of {grace:g}s"
            except HandlerError as error:
                problem = str(error)
            if problem:
                on.tell(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {problem}", name)
            grace = max(terminations.MINIMUM, grace - (loop.time() - started))
        await on.runtime.stop_container(instance.id, grace)

    async def kill_all(self, pod: Object, observed: RuntimePod, grace: float) -> None:
        """End every instance of the pod in order and stop its sandboxes; all rounds share the grace period."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        for instances in terminations.kill_order(pod, observed):
            left = max(deadline - loop.time(), min(grace, terminations.MINIMUM))
            kills = [self.kill(pod, container, instance, left) for instance, container in instances]
            # All are tried before the first failure is raised: one that resists must not save the others.
            for outcome in await asyncio.gather(*kills, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        for sandbox in observed.sandboxes:
            await self._on.runtime.stop_sandbox(sandbox.id)

    async def prune(self, observed: RuntimePod, *, all_of_it: bool = False) -> bool:
        """Remove what has ended and is needed no more: all but the newest dead instance a name, idle old sandboxes.

        With `all_of_it` everything goes. True where something was removed.
        """
        runtime = self._on.runtime
        dead: dict[str, int] = {}
        removed = set()
        for found in observed.containers:
            if found.state != "exited" and not all_of_it:
                continue
            dead[found.name] = dead.get(found.name, 0) + 1
            if dead[found.name] > 1 or all_of_it:
                await runtime.remove_container(found.id)
                self._remove_logs(found)
                removed.add(found.id)
        kept = {found.sandbox_id for found in observed.containers if found.id not in removed}
        for index, sandbox in enumerate(observed.sandboxes):
            if all_of_it or (index and not sandbox.ready and sandbox.id not in kept):
                await runtime.remove_sandbox(sandbox.id)
                removed.add(sandbox.id)
        return bool(removed)

    def _remove_logs(self, container: Container) -> None:
        folder = Path(self._on.facts.log_folder).parent / "containers"
        for link in folder.glob(f"*-{container.id}.log") if folder.is_dir() else ():
            link.unlink(missing_ok=True)
        if container.log_path:
            path = Path(container.log_path)
            for found in path.parent.glob(path.name + "*") if path.parent.is_dir() else ():
                found.unlink()


def _make_log_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
