"""Cluster addresses: an IPAddress object is an address taken (KEP-1880).

Its name is the address, so that the store's create is the lock: of two servers that choose the same one, one succeeds.
Addresses are chosen at random from the upper band of the range; the lower band is left to those who ask for one by name
(KEP-3070). Where ServiceCIDRs add networks to that of the flags, theirs are used once it is full, or by name.
"""

from __future__ import annotations

import ipaddress
import secrets

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects

from . import metrics

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RANDOM_ATTEMPTS = 32
_LEAST_BAND, _MOST_BAND = 16, 256


class TakenError(Exception):
    """The address belongs to another Service."""


class FullError(Exception):
    """No address is left."""


def band(network: Network) -> tuple[int, int, int]:
    """(first usable offset, first offset of the upper band, one past the last)."""
    # The network's own address is never given, nor IPv4's broadcast address.
    end = network.num_addresses - (1 if network.version == 4 else 0)
    if end - 1 <= _LEAST_BAND:
        return 1, 1, end
    return 1, 1 + min(max(_LEAST_BAND, (end - 1) // 16), _MOST_BAND), end


class Addresses:
    """The addresses of one family: the network of the flags, and those of ServiceCIDRs that are ready."""

    def __init__(self, network: Network, catalogue: Catalogue, objects: Objects, deletions: Deletions) -> None:
        self.network = network
        self._catalogue = catalogue
        self._served = catalogue.named("ipaddresses.networking.k8s.io")
        self._cidrs = catalogue.named("servicecidrs.networking.k8s.io")
        self._objects = objects
        self._deletions = deletions

    async def networks(self) -> list[Network]:
        """All networks that addresses are given from, the flags' first."""
        found = [self.network]
        items = (await self._objects.cached(self._cidrs)).items
        # The first is the one of the flags: nearly every cluster has no other.
        if len(items) < 2:
            return found
        for item in items.values():
            cidr = self._objects.object(self._cidrs, item)
            if meta.is_deleting(cidr) or not meta.condition_is(cidr, "Ready"):
                continue
            for text in (cidr.get("spec") or {}).get("cidrs") or ():
                network = ipaddress.ip_network(text, strict=False)
                if network.version == self.network.version and network not in found:
                    found.append(network)
        return found

    def usage(self) -> tuple[int | None, int]:
        """(how many addresses of the flags' network are taken, None where no cache knows; how many can be)."""
        first, _, end = band(self.network)
        collection = self._catalogue.collection(self._served)
        if not collection.loads:
            return None, end - first
        names = (key.rpartition("/")[2] for key in collection.items)
        return sum(ipaddress.ip_address(name) in self.network for name in names), end - first

    def _context(self, context: Context) -> Context:
        return Context(LOOPBACK, context.info, context.now, "kube-apiserver", dry_run=context.dry_run)

    async def take(self, context: Context, address: Address, namespace: str, name: str) -> None:
        """Take this address for a Service. Raises TakenError."""
        family = "IPv4" if address.version == 4 else "IPv6"
        obj: Object = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": str(address),
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": family,
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
        }
        try:
            await self._objects.create(self._context(context), self._served, "", obj)
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            raise TakenError(str(address)) from error

    async def take_any(self, context: Context, namespace: str, name: str) -> Address:
        """Take a free address for a Service. Raises FullError."""
        networks = await self.networks()
        for network in networks:
            try:
                with metrics.taking_address(str(network), metrics.DYNAMIC):
                    return await self._take_of(network, context, namespace, name)
            except FullError:
                continue
        raise FullError(", ".join(str(network) for network in networks))

    async def _take_of(self, network: Network, context: Context, namespace: str, name: str) -> Address:
        """Take a free address of one network. Raises FullError."""
        items = (await self._objects.cached(self._served)).items
        first, upper, end = band(network)
        for attempt in range(_RANDOM_ATTEMPTS):
            low = upper if attempt < _RANDOM_ATTEMPTS // 2 else first
            if low >= end:
                continue
            address = network[low + secrets.randbelow(end - low)]
            if self._served.key("", str(address)) in items:
                continue
            try:
                await self.take(context, address, namespace, name)
            except TakenError:
                continue
            return address
        # Chance finds nothing where nearly everything is taken: look at every address once.
        for offset in (*range(upper, end), *range(first, upper)):
            address = network[offset]
            if self._served.key("", str(address)) in items:
                continue
            try:
                await self.take(context, address, namespace, name)
            except TakenError:
                continue
            return address
        raise FullError(str(network))

    async def release(self, context: Context, address: str) -> None:
        """Give an address back; harmless where it is free."""
        try:
            await self._deletions.delete(self._context(context), self._served, "", address, {}, admit=False)
        except errors.StatusError as error:
            if error.code != 404:
                raise
