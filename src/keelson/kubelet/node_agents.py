"""Registers the node, reports its status, and renews its lease.

The lease is the heartbeat (KEP-589); the status is written when it changes, and else every five minutes. A node that
was deleted is registered anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.backoffs import Backoff
from keelson.client.rest import STRATEGIC_PATCH, Client

from .decisions import node_objects
from .decisions.node_objects import Machine, Report, Settings

log = logging.getLogger(__name__)

_LEASES = "leases.coordination.k8s.io"
_LEASE_NAMESPACE = "kube-node-lease"


class NodeAgent:
    """The node's own object. `report()` gathers what is to be told now."""

    def __init__(
        self,
        client: Client,
        machine: Machine,
        settings: Settings,
        report: Callable[[], Awaitable[Report]],
        *,
        now: Callable[[], datetime],
        update_period: float,
        report_period: float,
        lease_duration: float,
        register: bool = True,
        on_node: Callable[[Object], None] = lambda _node: None,
    ) -> None:
        self._client = client
        self._machine = machine
        self._settings = settings
        self._report = report
        self._now = now
        self._update_period = update_period
        self._report_period = report_period
        self._lease_duration = lease_duration
        self._register = register
        self._on_node = on_node
        self._prompt = asyncio.Event()
        self.registered = asyncio.Event()
        self._node: Object | None = None
        self._written = 0.0

    @property
    def node(self) -> Object | None:
        """The node as it was last seen or written."""
        return self._node

    def observe(self, node: Object | None) -> None:
        """The API shows the node anew, or shows that it is gone."""
        if node is None:
            if self.registered.is_set():
                log.warning("the node object was deleted; registering again")
            self.registered.clear()
            self._node = None
        elif self._node is None or meta.resource_version(self._node) != meta.resource_version(node):
            self._node = node
            self._on_node(node)
        self._prompt.set()

    def prompt(self) -> None:
        """Something that the status tells may have changed."""
        self._prompt.set()

    async def run(self) -> None:
        """Register, then report, until cancelled."""
        backoff = Backoff(initial=0.2, maximum=10.0)
        loop = asyncio.get_running_loop()
        while True:
            self._prompt.clear()
            try:
                if not self.registered.is_set():
                    await self._registration()
                await self._update(force=loop.time() - self._written >= self._report_period)
                backoff.reset()
                wait = self._update_period
            except errors.StatusError as error:
                if error.code == 404:
                    self.registered.clear()
                log.warning("node status: %s", error.message)
                wait = backoff.next()
            try:
                async with asyncio.timeout(wait):
                    await self._prompt.wait()
            except TimeoutError:
                pass

    async def _registration(self) -> None:
        fresh = node_objects.node(self._machine, self._settings, await self._report())
        existing: Object | None
        try:
            existing = await self._client.get("nodes", self._settings.name)
        except errors.StatusError as error:
            if error.code != 404:
                raise
            existing = None
        if existing is None:
            if not self._register:
                raise errors.not_found("nodes", self._settings.name)
            # The status goes with it: a node of no resources must not be seen by the scheduler.
            self._node = await self._client.create("nodes", fresh)
            log.info("registered node %s", self._settings.name)
        else:
            wanted = node_objects.reconciled(existing, fresh)
            if wanted["metadata"] != existing["metadata"]:
                patch = {
                    "metadata": {
                        name: {
                            **dict.fromkeys(set(existing["metadata"].get(name) or {}) - set(wanted["metadata"][name])),
                            **wanted["metadata"][name],
                        }
                        for name in ("labels", "annotations")
                    }
                }
                existing = await self._client.patch("nodes", self._settings.name, patch, kind=STRATEGIC_PATCH)
            self._node = existing
        self._on_node(self._node)
        self.registered.set()
        self._written = 0.0

    async def _update(self, *, force: bool) -> None:
        current = self._node
        if current is None:
            return
        report = await self._report()
        for attempt in range(5):
            wanted = node_objects.with_status(current, self._machine, self._settings, report)
            if not force and not node_objects.differs(current, wanted):
                return
            try:
                self._node = await self._client.update_status("nodes", wanted)
            except errors.StatusError as error:
                if error.code != 409 or attempt == 4:
                    raise
                current = await self._client.get("nodes", self._settings.name)
                continue
            self._written = asyncio.get_running_loop().time()
            self._on_node(self._node)
            return

    async def keep_lease(self) -> None:
        """Renew the node's lease at a quarter of its duration until cancelled."""
        lease: Object | None = None
        period = self._lease_duration / 4
        backoff = Backoff(initial=0.2, maximum=7.0)
        while True:
            try:
                lease = await self._renew(lease)
                backoff.reset()
                wait = period
            except errors.StatusError as error:
                log.warning("node lease: %s", error.message)
                lease = None
                wait = min(backoff.next(), period)
            await asyncio.sleep(wait)

    async def _renew(self, lease: Object | None) -> Object:
        name = self._settings.name
        if lease is None:
            try:
                lease = await self._client.get(_LEASES, name, namespace=_LEASE_NAMESPACE)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": round(self._lease_duration),
            "renewTime": meta.format_micro_time(self._now()),
        }
        if lease is not None:
            updated = {**lease, "spec": {**(lease.get("spec") or {}), **spec}}
            if not meta.owners(updated) and (owner := self._owner()):
                updated["metadata"] = {**updated["metadata"], "ownerReferences": owner}
            return await self._client.update(_LEASES, updated)
        fresh: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": _LEASE_NAMESPACE},
            "spec": spec,
        }
        if owner := self._owner():
            fresh["metadata"]["ownerReferences"] = owner
        return await self._client.create(_LEASES, fresh)

    def _owner(self) -> list[Object]:
        """The node as owner, so that the lease goes with it."""
        if self._node is None:
            return []
        return [{"apiVersion": "v1", "kind": "Node", "name": meta.name(self._node), "uid": meta.uid(self._node)}]
