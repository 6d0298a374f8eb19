"""What every pod's worker shares: the runtime, the caches and the node's own settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from keelson.api.meta import Object

from .decisions.container_configs import NodeFacts
from .decisions.network_files import Dns
from .handlers import Handlers
from .images import Images
from .probers import Probers
from .relists import Relister
from .runtimes import ports
from .volumes.managers import VolumeManager


class Objects(Protocol):
    """Where the objects that a pod refers to come from."""

    async def config_maps(
        self, namespace: str, names: set[str], not_before: datetime | None
    ) -> dict[str, Object | None]:
        """By name; None where there is none."""
        ...

    async def secrets(
        self, namespace: str, names: set[str], not_before: datetime | None
    ) -> dict[str, Mapping[str, bytes] | None]:
        """Decoded content by name; None where there is none."""
        ...

    async def claimed_volumes(self, pod: Object) -> dict[str, Object]:
        """The PersistentVolumes of the pod's bound claims, by claim name."""
        ...

    async def token(self, pod: Object, audience: str, seconds: int) -> bytes:
        """A token of the pod's service account."""
        ...

    async def runtime_handler(self, runtime_class: str) -> str:
        """The runtime handler that a RuntimeClass names."""
        ...

    def services(self) -> tuple[Object, ...]:
        """All services."""
        ...

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        ...


class Tell(Protocol):
    """Records an event of a pod, or of one of its containers."""

    def __call__(
        self, pod: Object, type_: Literal["Normal", "Warning"], reason: str, message: str, container: str = ""
    ) -> None: ...


@dataclass(kw_only=True)
class Environs:
    """One node's surroundings of pod workers. `admit` gives (reason, message) where a new pod can't be taken."""

    runtime: ports.Runtime
    relister: Relister
    images: Images
    volumes: VolumeManager
    handlers: Handlers
    objects: Objects
    tell: Tell
    now: Callable[[], datetime]
    set_status: Callable[[Object, Object], None]
    known_status: Callable[[str], Object | None]
    finish: Callable[[Object], None]
    admit: Callable[[Object], tuple[str, str] | None]
    root: Path
    runtime_name: str = "containerd"
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Any] = field(default_factory=dict)
    facts: NodeFacts = field(default_factory=NodeFacts)
    cluster_dns: tuple[str, ...] = ()
    host_dns: Callable[[], Dns] = Dns
    host_file: Path = Path("/etc/hosts")
    maximum_delay: float = 300.0
    # Set once the workers exist: probes call back into them.
    probers: Probers = field(init=False)
