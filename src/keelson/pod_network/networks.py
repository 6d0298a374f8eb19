"""The loop that keeps this node's network as its plan says.

Nodes must share one L2 segment: a gateway that is not on link is refused by the kernel, which is logged with the route
and tried again; an overlay (VXLAN) for other topologies is not built yet. Order matters: routes and masquerading first,
the CNI configuration last, because its file is what makes the kubelet call the network ready.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.informers import Informer
from keelson.component_base import metrics, nftables

from . import routes
from .decisions import plans
from .decisions.plans import Plan

log = logging.getLogger(__name__)

CNI_FILE = "10-keelson.conflist"
# How often the kernel is compared with the plan where nothing was heard of.
_PERIOD = 30.0

_ROUTES = metrics.gauge("pod_network_routes", "Routes to other nodes' pods that are wanted")
_FAILURES = metrics.counter("pod_network_failures_total", "Changes that the kernel or the file system refused")


def slim(node: Object) -> Object:
    """What the network reads of a Node: a Node's status is large and changes often."""
    metadata = meta.metadata(node)
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return {
        "metadata": {key: metadata[key] for key in ("name", "uid", "resourceVersion") if key in metadata},
        "spec": {key: spec[key] for key in ("podCIDR", "podCIDRs") if key in spec},
        "status": {"addresses": status.get("addresses") or []},
    }


class Network:
    """One per process. `run` it in a task; `established` is set when pods may start."""

    def __init__(
        self, nodes: Informer, *, node_name: str, cni_folder: Path, mtu: int = 0, cluster_cidrs: tuple[str, ...] = ()
    ) -> None:
        self._nodes = nodes
        self._node_name = node_name
        self._cni_file = cni_folder / CNI_FILE
        self._mtu = mtu
        self._cluster_cidrs = cluster_cidrs
        self._wake = asyncio.Event()
        self._masquerading = ""
        self.established = asyncio.Event()
        nodes.add_handler(self._on_node)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        before = plans.node_network(old) if old else None
        after = plans.node_network(new) if new else None
        if before != after:
            self._wake.set()

    async def run(self) -> None:
        """Reconcile on every change of a node's network and every period, until cancelled."""
        await self._nodes.synced()
        while True:
            self._wake.clear()
            wanted = plans.plan(map(plans.node_network, self._nodes.store), self._node_name, self._cluster_cidrs)
            if wanted is None:
                log.info('waiting for a pod CIDR of Node "%s"', self._node_name)
            elif await self._reconcile(wanted):
                self.established.set()
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _reconcile(self, wanted: Plan) -> bool:
        """Bring the kernel and the CNI folder to the plan; False where something that pods need was refused."""
        _ROUTES.set(len(wanted.routes))
        changed, removed = plans.route_changes(await routes.current(), wanted.routes)
        if changed or removed:
            # One unreachable node must not keep this node's pods from starting: refusals are logged and tried again.
            for refusal in await routes.change(changed, removed):
                _FAILURES.inc()
                log.warning("%s", refusal)
            log.info("routes: %d wanted, %d set, %d removed", len(wanted.routes), len(changed), len(removed))
        try:
            await self._masquerade(wanted)
            await self._configure(wanted)
            enable_forwarding(wanted)
        except (nftables.NftError, OSError) as error:
            _FAILURES.inc()
            log.error("%s", error)
            return False
        return True

    async def _masquerade(self, wanted: Plan) -> None:
        commands = plans.masquerading(wanted)
        if commands != self._masquerading or not await _present(wanted):
            await nftables.apply(commands)
            self._masquerading = commands

    async def _configure(self, wanted: Plan) -> None:
        mtu = self._mtu or await routes.mtu(wanted.addresses)
        content = plans.cni_configuration(wanted.pod_cidrs, mtu)
        if not self._cni_file.exists() or self._cni_file.read_bytes() != content:
            _write(self._cni_file, content)
            log.info("wrote %s for %s, MTU %d", self._cni_file, ", ".join(wanted.pod_cidrs), mtu)


async def _present(wanted: Plan) -> bool:
    try:
        for family in {plans.family_of(cidr) for cidr in wanted.pod_cidrs}:
            await nftables.run("list", "chain", family, plans.TABLE, "postrouting")
    except nftables.NftError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Replace the file at once: a runtime that reads the folder must never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The runtime ignores names that do not end in .conf, .conflist or .json.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def enable_forwarding(wanted: Plan, root: Path = Path("/proc/sys/net")) -> None:
    """Let the kernel forward the families that pods use. OSError where it is off and may not be turned on."""
    for family in {plans.family_of(cidr) for cidr in wanted.pod_cidrs}:
        switch = root / ("ipv4/ip_forward" if family == plans.IPV4 else "ipv6/conf/all/forwarding")
        if switch.read_text(encoding="ascii").strip() != "1":
            switch.write_text("1\n", encoding="ascii")
