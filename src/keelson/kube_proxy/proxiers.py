"""The loop that keeps the kernel's tables equal to what Services and EndpointSlices ask for.

Handlers note which Services changed; a sync recomputes those, composes each family's table and applies the difference.
When a transaction fails, or somebody else removed the table, the next one makes it anew. Rules stay when the daemon
ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.backoffs import Backoff
from keelson.client.informers import Informer
from keelson.component_base import metrics, nftables

from . import conntracks, tables
from .configurations import Configuration
from .decisions import rules, rulesets, service_ports, stale_flows
from .decisions.rules import Options
from .decisions.rulesets import Fragment, Ruleset
from .decisions.service_ports import IPV4, IPV6, NodeView, ServicePort, Target

log = logging.getLogger(__name__)

BY_SERVICE = "service"
# Even where nothing seems wrong the tables are made anew this often, as upstream's nftables mode does.
_FULL_SYNC_PERIOD = 3600.0

_DURATION = metrics.histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "Time of one sync of the rules in seconds",
    ("ip_family",),
    buckets=[0.001 * 2**n for n in range(15)],
)
_LAST = metrics.gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When rules were last synced", ("ip_family",)
)
_FAILURES = metrics.counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "Failed nftables transactions", ("ip_family",)
)
_SERVICE_CHANGES = metrics.counter("kubeproxy_sync_proxy_rules_service_changes_total", "Changes of Services seen")
_ENDPOINT_CHANGES = metrics.counter(
    "kubeproxy_sync_proxy_rules_endpoint_changes_total", "Changes of EndpointSlices seen"
)


def slice_service(slice_: Object) -> Iterable[str]:
    """The key of the Service that an EndpointSlice belongs to; none where it has no such label."""
    name = meta.labels(slice_).get(service_ports.SERVICE_NAME)
    return (meta.key_of(meta.namespace(slice_), name),) if name else ()


def slim(obj: Object) -> Object:
    """What the proxy reads of a Service or EndpointSlice: on a large cluster most of its memory is in these."""
    metadata = meta.metadata(obj)
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "labels") if key in metadata}
    result = {key: value for key, value in obj.items() if key not in {"metadata", "apiVersion", "kind"}}
    return {**result, "metadata": kept}


class Proxier:
    """One per process. `run` it in a task; `synced_once` is set when the rules serve for the first time."""

    def __init__(self, configuration: Configuration, *, services: Informer, slices: Informer, nodes: Informer) -> None:
        self._configuration = configuration
        self._services = services
        self._slices = slices
        self._nodes = nodes
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._ports: dict[str, tuple[ServicePort, ...]] = {}
        self._fragments: dict[str, dict[str, list[Fragment]]] = {IPV4: {}, IPV6: {}}
        # What the kernel has of each family; absent where that is not known.
        self._applied: dict[str, Ruleset] = {}
        # UDP endpoints for which tracked flows were last looked through, by family.
        self._udp: dict[str, dict[tuple[str, ...], frozenset[Target]]] = {}
        self._node: NodeView | None = None
        self._options = Options()
        self._pod_cidrs: tuple[str, ...] = ()
        self._full_sync_at = 0.0
        self.synced_once = asyncio.Event()
        # Monotonic moments: the oldest change that no sync has taken in yet, and the last good sync.
        self.pending_since: float | None = None
        self.last_sync = time.monotonic()
        services.add_handler(self._on_service)
        slices.add_handler(self._on_slice)
        nodes.add_handler(self._on_node)

    # Changes

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        _SERVICE_CHANGES.inc()
        self._touch(meta.key(changed))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        _ENDPOINT_CHANGES.inc()
        for each in (old, new):
            for key in slice_service(each) if each else ():
                self._touch(key)

    def _on_node(self, _old: Object | None, new: Object | None) -> None:
        if new is None:
            # The Node is deleted and may come back; what was known of it goes on serving.
            return
        status = new.get("status") or {}
        view = NodeView(
            name=meta.name(new),
            zone=meta.labels(new).get("topology.kubernetes.io/zone", ""),
            addresses=tuple(
                each["address"] for each in status.get("addresses") or () if each.get("type") == "InternalIP"
            ),
        )
        spec = new.get("spec") or {}
        cidrs = tuple(spec.get("podCIDRs") or filter(None, [spec.get("podCIDR")]))
        if view != self._node or cidrs != self._pod_cidrs:
            self._node, self._pod_cidrs = view, cidrs
            self._options = self._options_for(cidrs)
            self._ports.clear()
            for key in self._services.store.keys():  # noqa: SIM118 - not a mapping
                self._touch(key)
            self._wake.set()

    def _options_for(self, pod_cidrs: tuple[str, ...]) -> Options:
        found = self._configuration
        local: dict[str, str] = {}
        if found.local_mode == "BridgeInterface" and found.bridge_interface:
            local = dict.fromkeys((IPV4, IPV6), f'iifname "{found.bridge_interface}"')
        elif found.local_mode == "InterfaceNamePrefix" and found.interface_prefix:
            local = dict.fromkeys((IPV4, IPV6), f'iifname "{found.interface_prefix}*"')
        else:
            for cidr in pod_cidrs if found.local_mode == "NodeCIDR" else found.cluster_cidrs:
                family = service_ports.family_of(cidr)
                local[family] = f"{family} saddr {cidr}"
        return Options(
            masquerade_bit=found.masquerade_bit,
            masquerade_all=found.masquerade_all,
            local=tuple(sorted(local.items())),
            node_port_addresses=found.node_port_addresses,
            conntrack_liberal=found.conntrack_liberal,
        )

    def _touch(self, key: str) -> None:
        self._dirty.add(key)
        if self.pending_since is None:
            self.pending_since = time.monotonic()
        self._wake.set()

    # Syncing

    async def run(self) -> None:
        """Sync whenever something changed, at least every sync period, until cancelled."""
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced()
        if self._node is None:
            log.info('waiting for Node "%s"', self._configuration.node_name)
        while self._node is None:
            await self._wake.wait()
            self._wake.clear()
        backoff = Backoff(initial=self._configuration.min_sync_period or 0.1, maximum=30.0)
        while True:
            self._wake.clear()
            started = time.monotonic()
            if await self._sync():
                backoff.reset()
                self.last_sync = time.monotonic()
                self.synced_once.set()
                await asyncio.sleep(max(0.0, started + self._configuration.min_sync_period - time.monotonic()))
                await self._changed_or_due()
            else:
                await asyncio.sleep(backoff.next())

    async def _changed_or_due(self) -> None:
        try:
            async with asyncio.timeout(self._configuration.sync_period):
                await self._wake.wait()
        except TimeoutError:
            for family in list(self._applied):
                if not await tables.intact(family):
                    log.warning("table %s %s is gone or changed; making it anew", family, rulesets.TABLE)
                    del self._applied[family]

    async def _sync(self) -> bool:
        """One sync of all families; False where one of them failed."""
        assert self._node is not None
        self._recompute()
        if time.monotonic() >= self._full_sync_at:
            self._applied.clear()
        good = True
        for family in self._families():
            started = time.monotonic()
            wanted = rulesets.compose(
                rules.skeleton(family, self._node, self._options),
                (each for _, found in sorted(self._fragments[family].items()) for each in found),
            )
            commands = rulesets.difference(self._applied.get(family), wanted)
            try:
                if commands:
                    await nftables.apply(commands)
            except nftables.NftError as error:
                log.error("the transaction on table %s %s failed: %s", family, rulesets.TABLE, error)
                _FAILURES.labels(family).inc()
                self._applied.pop(family, None)
                good = False
                continue
            self._applied[family] = wanted
            await self._forget_flows(family)
            if not commands:
                continue
            took = time.monotonic() - started
            _DURATION.labels(family).observe(took)
            _LAST.labels(family).set_to_current_time()
            log.debug("synced table %s: %d bytes of commands in %.3f s", family, len(commands), took)
        if good:
            # What changed while nft worked waits since now, at the latest.
            self.pending_since = time.monotonic() if self._dirty else None
            if time.monotonic() >= self._full_sync_at:
                self._full_sync_at = time.monotonic() + _FULL_SYNC_PERIOD
        return good

    async def _forget_flows(self, family: str) -> None:
        """End the tracked UDP flows to endpoints that serve no longer, now that the rules choose others."""
        assert self._node is not None
        ports = [port for found in self._ports.values() for port in found if port.family == family]
        signature = stale_flows.signature(ports)
        if signature == self._udp.get(family, {}):
            return
        try:
            listed = await asyncio.to_thread(conntracks.flows, family)
            doomed = stale_flows.stale(listed, ports, self._node)
            if doomed:
                count = await asyncio.to_thread(conntracks.delete, doomed, family)
                log.info("ended %d UDP flows to endpoints that are gone", count)
        except OSError as error:
            # The rules serve all the same; the flows are looked at again with the next change or sync.
            log.error("tracked flows can't be looked through: %s", error)
            return
        self._udp[family] = signature

    def _recompute(self) -> None:
        assert self._node is not None
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            service = self._services.store.get(key)
            if service is None:
                self._ports.pop(key, None)
                for found in self._fragments.values():
                    found.pop(key, None)
                continue
            ports = service_ports.service_ports(service, self._slices.store.by_index(BY_SERVICE, key), self._node)
            if self._ports.get(key) == ports:
                continue
            self._ports[key] = ports
            for family, found in self._fragments.items():
                own = [rules.fragment(port, self._options) for port in ports if port.family == family]
                if own:
                    found[key] = own
                else:
                    found.pop(key, None)

    def _families(self) -> list[str]:
        """The families that the node has addresses of: a kernel may lack the other."""
        assert self._node is not None
        found = sorted({service_ports.family_of(address) for address in self._node.addresses})
        return found or [IPV4]

    # What others ask

    @property
    def node(self) -> NodeView | None:
        """This node as last seen, None before that."""
        return self._node

    def local_endpoints(self, key: str) -> int:
        """How many endpoints of a Service serve on this node."""
        return len({target[0] for port in self._ports.get(key, ()) for target in port.local_endpoints})
