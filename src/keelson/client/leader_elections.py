"""Leader election by Lease (client-go's leaderelection, KEP-589): one of several processes works, the others wait.

The rule is decided by `decide`, a pure function. A follower measures the holder's silence on its own clock from the
moment at which it saw the lease change, so clocks of hosts need not agree. A leader that could not renew within the
renew deadline is fenced: its client refuses to write, before another may take over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from keelson.api import errors, meta
from keelson.api.meta import Object

from .rest import Client, FencedError

log = logging.getLogger(__name__)


class LeadershipLost(FencedError):  # noqa: N818 - an event of the protocol rather than an error
    """This process no longer leads and must end what only a leader may do."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds: how long a lease holds, how long its leader tries to renew, how often both look."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period > 0:
            raise ValueError("leader election wants lease duration > renew deadline > retry period > 0")


Action = Literal["create", "take", "renew", "wait"]


def decide(lease: Object | None, *, identity: str, unchanged_for: float) -> Action:
    """What a candidate does about the lease that it sees; `unchanged_for`: seconds since it was last seen to change."""
    if lease is None:
        return "create"
    spec = lease.get("spec") or {}
    if spec.get("holderIdentity") == identity:
        return "renew"
    if not spec.get("holderIdentity") or unchanged_for >= float(spec.get("leaseDurationSeconds") or 0):
        return "take"
    return "wait"


def claim(lease: Object, *, identity: str, now: datetime, duration: float) -> Object:
    """The lease as its new or old holder writes it; a change of holder counts as a transition."""
    spec = dict(lease.get("spec") or {})
    if spec.get("holderIdentity") != identity:
        spec["acquireTime"] = meta.format_micro_time(now)
        if "holderIdentity" in spec:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    spec.setdefault("leaseTransitions", 0)
    spec.update(holderIdentity=identity, leaseDurationSeconds=round(duration), renewTime=meta.format_micro_time(now))
    return {**lease, "spec": spec}


class LeaderElector:
    """One candidate for one lease. Its client must be one without a fence; the fence is for the leader's work.

    `acquire` waits until this process leads; `keep` then renews until leadership is lost (raised) or it is cancelled;
    `release` gives the lease back so that the next leader need not wait.
    """

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        timings: Timings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._timings = timings or Timings()
        self._monotonic = monotonic
        self._observed: Object | None = None
        self._observed_at = 0.0
        # Until this moment of the monotonic clock no other candidate may take the lease.
        self._valid_until = 0.0

    @property
    def leads(self) -> bool:
        """Whether this process may act as leader at this instant."""
        return self._monotonic() < self._valid_until

    def fence(self) -> None:
        """For `Client.fence`: raises LeadershipLost where a write might come after another's takeover."""
        if not self.leads:
            raise LeadershipLost(f"the lease {self._namespace}/{self._name} was not renewed in time")

    async def acquire(self) -> None:
        """Wait until this process leads."""
        while not await self._attempt():  # noqa: ASYNC110 - the lease is polled by protocol
            await asyncio.sleep(self._timings.retry_period)
        log.info("became the leader of %s/%s", self._namespace, self._name)

    async def keep(self) -> None:
        """Renew for as long as it goes well; raises LeadershipLost when the deadline passes."""
        while True:
            await asyncio.sleep(self._timings.retry_period)
            await self._attempt()
            self.fence()

    async def release(self) -> None:
        """Hand the lease back, if this process still holds it."""
        if not self.leads or self._observed is None:
            return
        spec = {**self._observed["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        self._valid_until = 0.0
        try:
            await self._client.update("leases.coordination.k8s.io", {**self._observed, "spec": spec})
        except errors.StatusError as error:
            # The lease then runs out by itself.
            log.info("lease %s/%s not handed back: %s", self._namespace, self._name, error.message)

    async def _attempt(self) -> bool:
        """Look at the lease and act; True where this process holds it afterwards."""
        started = self._monotonic()
        try:
            async with asyncio.timeout(self._timings.renew_deadline / 2):
                held = await self._look_and_act()
        except TimeoutError:
            log.warning("lease %s/%s: the server did not answer in time", self._namespace, self._name)
            return False
        except errors.StatusError as error:
            level = logging.DEBUG if error.code == 409 else logging.WARNING
            log.log(level, "lease %s/%s: %s", self._namespace, self._name, error.message)
            return False
        if held:
            # Counted from before the request was sent: others count from after it was carried out.
            self._valid_until = started + self._timings.renew_deadline
        return held

    async def _look_and_act(self) -> bool:
        lease: Object | None
        try:
            lease = await self._client.get("leases.coordination.k8s.io", self._name, namespace=self._namespace)
        except errors.StatusError as error:
            if error.code != 404:
                raise
            lease = None
        if lease is not None and (self._observed is None or _changed(self._observed, lease)):
            self._observed, self._observed_at = lease, self._monotonic()
        action = decide(lease, identity=self._identity, unchanged_for=self._monotonic() - self._observed_at)
        if action == "wait":
            return False
        now = datetime.now(UTC)
        duration = self._timings.lease_duration
        if lease is None:
            fresh = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
            }
            claimed = claim(fresh, identity=self._identity, now=now, duration=duration)
            written = await self._client.create("leases.coordination.k8s.io", claimed)
        else:
            claimed = claim(lease, identity=self._identity, now=now, duration=duration)
            written = await self._client.update("leases.coordination.k8s.io", claimed)
        self._observed, self._observed_at = written, self._monotonic()
        return True


def _changed(old: Object, new: Object) -> bool:
    return meta.resource_version(old) != meta.resource_version(new)
