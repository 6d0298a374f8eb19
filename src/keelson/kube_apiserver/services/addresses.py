"""Cluster addresses: an IPAddress object is an address taken (KEP-1880).

Its name is the address, so that the store's create is the lock: of two servers that choose the same one, one succeeds.
Addresses are chosen at random from the upper band of the range; the lower band is left to those who ask for one by name
(KEP-3070).
"""

from __future__ import annotations

import ipaddress
import secrets

from keelson.api import errors
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects

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
    """The addresses of one range."""

    def __init__(self, network: Network, catalogue: Catalogue, objects: Objects, deletions: Deletions) -> None:
        self.network = network
        self._served = catalogue.named("ipaddresses.networking.k8s.io")
        self._objects = objects
        self._deletions = deletions

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
        items = (await self._objects.cached(self._served)).items
        first, upper, end = band(self.network)
        for attempt in range(_RANDOM_ATTEMPTS):
            low = upper if attempt < _RANDOM_ATTEMPTS // 2 else first
            if low >= end:
                continue
            address = self.network[low + secrets.randbelow(end - low)]
            if self._served.key("", str(address)) in items:
                continue
            try:
                await self.take(context, address, namespace, name)
            except TakenError:
                continue
            return address
        # Chance finds nothing where nearly everything is taken: look at every address once.
        for offset in (*range(upper, end), *range(first, upper)):
            address = self.network[offset]
            if self._served.key("", str(address)) in items:
                continue
            try:
                await self.take(context, address, namespace, name)
            except TakenError:
                continue
            return address
        raise FullError(str(self.network))

    async def release(self, context: Context, address: str) -> None:
        """Give an address back; harmless where it is free."""
        try:
            await self._deletions.delete(self._context(context), self._served, "", address, {}, admit=False)
        except errors.StatusError as error:
            if error.code != 404:
                raise
