"""The life of a daemon of which one instance works at a time: candidate, leader, and gone when the lease is lost."""

from __future__ import annotations

import argparse
import asyncio
import socket
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from keelson.component_base import daemons, serving
from keelson.component_base.daemons import FatalError
from keelson.component_base.flags import Parser
from keelson.component_base.health import Checks

from .kubeconfigs import ClientConfig
from .leader_elections import LeaderElector, LeadershipLost, Timings
from .rest import Client


def add_flags(parser: Parser, name: str) -> None:
    """The --leader-elect flags, as upstream's component-base registers them."""
    parser.boolean("--leader-elect", True, help="work only while holding the lease")
    parser.duration("--leader-elect-lease-duration", 15, help="how long an unrenewed lease holds")
    parser.duration("--leader-elect-renew-deadline", 10, help="how long the leader tries to renew")
    parser.duration("--leader-elect-retry-period", 2, help="how often the lease is looked at")
    parser.text("--leader-elect-resource-lock", "leases", choices=["leases"], help="what the lock is")
    parser.text("--leader-elect-resource-name", name, help="name of the lease")
    parser.text("--leader-elect-resource-namespace", "kube-system", help="namespace of the lease")


class Leadership:
    """Runs `work` with a fenced client while this process leads.

    A process that lost its lease ends with FatalError and is started anew by its service manager: what it has in
    memory may be of another's time.
    """

    def __init__(self, options: argparse.Namespace, config: ClientConfig, *, agent: str) -> None:
        try:
            self._timings = Timings(
                lease_duration=options.leader_elect_lease_duration,
                renew_deadline=options.leader_elect_renew_deadline,
                retry_period=options.leader_elect_retry_period,
            )
        except ValueError as error:
            raise FatalError(f"--leader-elect-*: {error}") from error
        self._options = options
        self._config = config
        self._agent = agent
        self._elector: LeaderElector | None = None
        self._working = False

    def health(self) -> str | None:
        """A check: fails where this process works as leader and its lease ran out."""
        if self._working and self._elector is not None and not self._elector.leads:
            return "working as leader without a renewed lease"
        return None

    async def run(self, work: Callable[[Client], Awaitable[None]]) -> None:
        """Wait for the lease, then work and renew; returns when `work` does. Without --leader-elect: just work."""
        async with (
            Client(self._config, user_agent=f"{self._agent}/leader-election") as election_client,
            Client(self._config, user_agent=self._agent) as client,
        ):
            if not self._options.leader_elect:
                await work(client)
                return
            elector = self._elector = LeaderElector(
                election_client,
                name=self._options.leader_elect_resource_name,
                namespace=self._options.leader_elect_resource_namespace,
                identity=f"{socket.gethostname()}_{uuid.uuid4()}",
                timings=self._timings,
            )
            await elector.acquire()
            client.fence = elector.fence
            self._working = True
            try:
                async with asyncio.TaskGroup() as group:
                    keep = group.create_task(elector.keep())
                    await work(client)
                    keep.cancel()
            except* LeadershipLost as lost:
                raise FatalError(f"leadership lost: {lost.exceptions[0]}") from lost
            finally:
                self._working = False
                await elector.release()


async def serve(
    options: argparse.Namespace,
    config: ClientConfig,
    stop: asyncio.Event,
    work: Callable[[Client], Awaitable[None]],
    *,
    agent: str,
) -> None:
    """The daemon until it is stopped: health and metrics from the beginning, `work` while it leads."""
    leadership = Leadership(options, config, agent=agent)
    checks = Checks()
    checks.add("leaderElection", leadership.health)
    endpoints = {"/healthz": checks, "/livez": checks, "/readyz": checks}
    async with serving.secure(options, endpoints, now=datetime.now(UTC)):
        daemons.ready()
        await daemons.until_stopped(stop, leadership.run(work))
