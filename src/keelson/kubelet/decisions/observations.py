"""What the runtime says of one pod, free of the wire's types: the input of every decision about it.

Labels and annotations are upstream's (kubelet's labels.go in its published form), so that either kubelet can take over
the containers of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"

State = Literal["created", "running", "exited", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The identity of a container's first process, in numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One instance of a container; `attempt` counts instances of the same name in the pod from 0.

    `image` is the name it was made from, `image_id` the runtime's id of it. `exit_code`, `reason` and `message` mean
    something only once it is exited.
    """

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: State
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    log_path: str = ""
    user: User | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def restart_count(self) -> int:
        """How often the container had been started anew when this instance was made."""
        text = self.annotations.get(RESTART_COUNT, "")
        return int(text) if text.isdecimal() else self.attempt

    @property
    def hash(self) -> str:
        """The digest of the container's spec that this instance was made from."""
        return self.annotations.get(CONTAINER_HASH, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """One sandbox of a pod; `attempt` counts the pod's sandboxes from 0. `ips` is empty in the host's network."""

    id: str
    uid: str
    name: str
    namespace: str
    attempt: int
    ready: bool
    created_at: datetime
    ips: tuple[str, ...] = ()
    host_network: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimePod:
    """All that the runtime has of one pod.

    Invariant: `sandboxes` and `containers` are ordered from the newest to the oldest.
    """

    uid: str
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def latest(self, name: str) -> Container | None:
        """The newest instance of the container of this name."""
        return next((found for found in self.containers if found.name == name), None)

    def previous(self, name: str) -> Container | None:
        """The instance before the newest one."""
        found = [container for container in self.containers if container.name == name]
        return found[1] if len(found) > 1 else None

    @property
    def running(self) -> tuple[Container, ...]:
        """The instances that may have processes."""
        return tuple(found for found in self.containers if found.state in {"running", "created", "unknown"})

    @property
    def ready_sandbox(self) -> Sandbox | None:
        """The newest sandbox, if it is ready."""
        return self.sandboxes[0] if self.sandboxes and self.sandboxes[0].ready else None


def ordered(uid: str, sandboxes: list[Sandbox], containers: list[Container]) -> RuntimePod:
    """The pod of these parts, in the order that RuntimePod wants."""
    return RuntimePod(
        uid=uid,
        sandboxes=tuple(sorted(sandboxes, key=lambda each: (each.created_at, each.attempt), reverse=True)),
        containers=tuple(sorted(containers, key=lambda each: (each.created_at, each.attempt), reverse=True)),
    )
