"""service-cidr-controller: networks of cluster addresses are ready once protected, and go once nothing has their last
addresses.

Reads: servicecidrs.networking.k8s.io, ipaddresses.networking.k8s.io where one is deleted. Writes: the finalizer and the
Ready condition of servicecidrs. Rules: KEP-1880.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

CIDRS = "servicecidrs.networking.k8s.io"
ADDRESSES = "ipaddresses.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_ALLOCATED = "ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io"
# So that no server still gives addresses of a network that is going.
_GRACE = timedelta(seconds=10)
# What holds a network back is looked for again.
_AGAIN = 5.0
_READY = {"status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
_HELD = {
    "status": "False",
    "reason": "Terminating",
    "message": (
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
    ),
}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(cidr: Object) -> list[Network]:
    """The networks of a ServiceCIDR."""
    return [ipaddress.ip_network(text, strict=False) for text in (cidr.get("spec") or {}).get("cidrs") or ()]


def _contains(wider: Network, narrower: Network) -> bool:
    return wider.version == narrower.version and narrower.subnet_of(wider)  # type: ignore[arg-type]


def is_needed(cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether an address would be left without a network if this one went."""
    own = networks_of(cidr)
    rest = [network for other in others for network in networks_of(other)]
    orphaned = [network for network in own if not any(_contains(wider, network) for wider in rest)]
    if not orphaned:
        return False
    found = [ipaddress.ip_address(text) for text in addresses]
    return any(
        any(address in network for network in orphaned) and not any(address in network for network in rest)
        for address in found
    )


class ServiceCidrController:
    """One reconcile per ServiceCIDR."""

    name = "service-cidr-controller"
    account = "service-cidrs-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("ipaddresses")
        self._cidrs = context.informers.informer(CIDRS)
        self._cidrs.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        cidr = self._cidrs.store.get(key)
        if cidr is None:
            return None
        try:
            if meta.is_deleting(cidr):
                return await self._finish(cidr)
            if FINALIZER not in _finalizers(cidr):
                # What is stored now is seen by the event of this write.
                await self._write_finalizers(cidr, [*_finalizers(cidr), FINALIZER])
                return None
            await self._write_condition(cidr, _READY)
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return None

    async def _finish(self, cidr: Object) -> float | None:
        if FINALIZER not in _finalizers(cidr):
            return None
        others = [each for each in self._cidrs.store if not meta.is_deleting(each)]
        listed = await self._client.list(ADDRESSES, label_selector=_ALLOCATED, metadata_only=True)
        if is_needed(cidr, others, (meta.name(each) for each in listed["items"])):
            await self._write_condition(cidr, _HELD)
            return _AGAIN
        deleted = meta.parse_time(str(meta.metadata(cidr)["deletionTimestamp"]))
        left = (deleted + _GRACE - datetime.now(UTC)).total_seconds()
        if left > 0:
            return left
        await self._write_finalizers(cidr, [name for name in _finalizers(cidr) if name != FINALIZER])
        return None

    async def _write_finalizers(self, cidr: Object, wanted: list[str]) -> None:
        # The resource version makes it a conflict where anybody else changed them meanwhile.
        head = {"resourceVersion": meta.metadata(cidr).get("resourceVersion"), "finalizers": wanted}
        await self._client.patch(CIDRS, meta.name(cidr), {"metadata": head})

    async def _write_condition(self, cidr: Object, wanted: dict[str, str]) -> None:
        for condition in meta.conditions(cidr):
            if condition.get("type") == "Ready" and all(
                (condition.get(name) or "") == text for name, text in wanted.items()
            ):
                return
        conditions = meta.with_condition(meta.conditions(cidr), type_="Ready", now=datetime.now(UTC), **wanted)
        await self._client.update_status(CIDRS, {**cidr, "status": {"conditions": conditions}})


def _finalizers(cidr: Object) -> list[str]:
    return list(meta.metadata(cidr).get("finalizers") or ())
