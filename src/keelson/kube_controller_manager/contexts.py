"""What a controller gets: the client, shared informers, events, the clock, and the daemon's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from keelson.client.events import Recorder
from keelson.client.informers import Factory
from keelson.client.rest import Client


def utc_now() -> datetime:
    """The clock of this host."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The flags that concern controllers; durations in seconds, under upstream's names."""

    allocate_node_cidrs: bool = False
    cluster_cidrs: tuple[IPv4Network | IPv6Network, ...] = ()
    node_cidr_mask_sizes: tuple[int, ...] = (24,)
    cluster_signing_certificate: bytes = b""
    cluster_signing_key: bytes = field(default=b"", repr=False)
    cluster_signing_duration: float = 365 * 86400.0
    root_ca: str = ""
    service_account_key: bytes = field(default=b"", repr=False)
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    terminated_pod_gc_threshold: int = 12500
    resource_quota_sync_period: float = 300.0
    horizontal_pod_autoscaler_sync_period: float = 15.0
    horizontal_pod_autoscaler_downscale_stabilization: float = 300.0
    horizontal_pod_autoscaler_tolerance: float = 0.1
    horizontal_pod_autoscaler_cpu_initialization_period: float = 300.0
    horizontal_pod_autoscaler_initial_readiness_delay: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Context:
    """Shared by all controllers of one leader. Ask `informers` in the constructor, never later."""

    client: Client
    informers: Factory
    recorder: Callable[[str], Recorder]
    settings: Settings
    now: Callable[[], datetime] = utc_now


class Controller(Protocol):
    """One control loop. `name` is upstream's, as --controllers takes it.

    `account` is the service account in kube-system that it writes as under --use-service-account-credentials; "" for
    the daemon's own identity.
    """

    name: str
    account: str

    def __init__(self, context: Context) -> None: ...

    async def run(self) -> None:
        """Reconcile until cancelled; the informers are synced before it is called."""
