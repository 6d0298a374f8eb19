"""What an instance of the server says of itself while it runs: its address and its identity.

Each instance keeps a key with a time to live at `masterleases/ADDRESS`; the addresses that have one are the endpoints
of the Service default/kubernetes, so that those of a dead instance go within seconds. A Lease in kube-system names
the instance (KEP-1965), and another key says where its peers reach it (KEP-4020).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import ipaddress
import logging
import socket
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.bootstrap.reconcilers import Reconciler
from keelson.kube_apiserver.peers.places import Places
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Store

log = logging.getLogger(__name__)

_LEASE_SECONDS, _RENEW_SECONDS = 15, 5.0
_IDENTITY_SECONDS = 3600
# An hour of them.
_COLLECTION_ROUNDS = 720
_SYSTEM, _IDENTITY = "kube-system", "apiserver.kubernetes.io/identity"
_LEASES = "leases.coordination.k8s.io"
_NAME, _NAMESPACE = "kubernetes", "default"


def advertised(options: argparse.Namespace) -> str:
    """The address that the flags make known; where they name none, the one that this host sends from."""
    address: str = options.advertise_address or options.bind_address
    return _own_address() if ipaddress.ip_address(address).is_unspecified else address


def _own_address() -> str:
    """As upstream chooses one; loopback where there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only asks the routing table (192.0.2.0/24 is no network).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def identity_of(address: str, port: int) -> str:
    """The name of the server at an address of this host."""
    digest = hashlib.sha256(f"{socket.gethostname()}:{address}:{port}".encode()).hexdigest()
    return f"apiserver-{digest[:26]}"


class Instance:
    """One running server."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        deletions: Deletions,
        store: Store,
        reconciler: Reconciler,
        *,
        address: str,
        port: int,
        service_address: str,
        root: str,
        places: Places,
        place: tuple[str, int],
        publishes: bool = True,
    ) -> None:
        """`place` is the host and port under which peers reach this instance, `places` where all state theirs.

        Without `publishes` the endpoints of default/kubernetes are left to others.
        """
        self._catalogue = catalogue
        self._objects = objects
        self._deletions = deletions
        self._leases = catalogue.named(_LEASES)
        self._store = store
        self._reconciler = reconciler
        self._address = address
        self._port = port
        self._service_address = service_address
        self._prefix = f"{root}masterleases/"
        self._withdrawn = False
        self._places = places
        self._place = place
        self._publishes = publishes
        self.identity = identity_of(address, port)
        # Another one for each process: by it peers see that they have to ask anew what this instance serves.
        self._holder = f"{self.identity}_{uuid.uuid4()}"

    async def service(self) -> None:
        """Make default/kubernetes, whose address is the first of the range."""
        obj: Object = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": _NAME,
                "namespace": _NAMESPACE,
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": self._service_address,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self._port}],
                "sessionAffinity": "None",
                "type": "ClusterIP",
            },
        }
        await self._reconciler.ensure("services", obj)

    async def run(self) -> None:
        """Keep the address and the identity alive; ends by being cancelled."""
        rounds = 0
        while True:
            await self.renew()
            if not rounds % _COLLECTION_ROUNDS:
                await self.collect(datetime.now(UTC))
            rounds += 1
            await asyncio.sleep(_RENEW_SECONDS)

    async def collect(self, now: datetime) -> None:
        """Delete the identities of instances that died without taking theirs back, as upstream's instances do."""
        try:
            collection = await self._objects.cached(self._leases)
            for item in list(collection.items.values()):
                if item.namespace != _SYSTEM or item.labels.get(_IDENTITY) != "kube-apiserver":
                    continue
                if _is_expired(self._objects.object(self._leases, item), now):
                    await self._delete_identity(item.name)
        except (errors.StatusError, storage_errors.StorageError) as error:
            log.warning("identities of instances that are gone can't be deleted now: %s", error)

    async def _delete_identity(self, name: str) -> None:
        context = self._reconciler.context(self._leases, "delete")
        try:
            await self._deletions.delete(context, self._leases, _SYSTEM, name, {})
        except errors.StatusError as error:
            # Another instance was faster.
            if error.code != 404:
                raise

    async def renew(self) -> None:
        """One round; what fails is logged and tried again in the next."""
        if self._withdrawn:
            return
        for what, step in (
            ("the endpoints of default/kubernetes", self._keep_address),
            ("the place of this server for its peers", self._keep_place),
            ("the identity of this server", self._identify),
        ):
            try:
                await step()
            except (errors.StatusError, storage_errors.StorageError) as error:
                log.warning("%s can't be kept now: %s", what, error)

    async def _keep_place(self) -> None:
        await self._places.keep(self.identity, *self._place)

    async def _publish_addresses(self) -> None:
        page = await self._store.list(self._prefix)
        await self._publish(sorted(entry.key.removeprefix(self._prefix) for entry in page.entries))

    async def _keep_address(self) -> None:
        if not self._publishes:
            return
        key = self._prefix + self._address
        # Upstream writes an Endpoints object here, and reads only that there is one.
        value = orjson.dumps(
            {"kind": "Endpoints", "apiVersion": "v1", "subsets": [{"addresses": [{"ip": self._address}]}]}
        )
        try:
            found = await self._store.get(key)
            if found.entry is None:
                await self._store.create(key, value, ttl=_LEASE_SECONDS)
            else:
                await self._store.update(key, value, expected=found.entry.mod_revision, ttl=_LEASE_SECONDS)
        except (storage_errors.KeyExistsError, storage_errors.RevisionConflictError):
            # Two servers with one address: either of them keeps it alive.
            log.warning("another server advertises %s too", self._address)
        await self._publish_addresses()

    async def withdraw(self) -> None:
        """Take the address and the identity back for good, as a server that ends in order does."""
        self._withdrawn = True
        # All at once: there is little time, and none of them hangs on another.
        await asyncio.gather(
            self._without_trouble(self._withdraw_address()),
            self._without_trouble(self._places.withdraw(self.identity)),
            self._without_trouble(self._delete_identity(self.identity)),
        )

    async def _without_trouble(self, step: Awaitable[None]) -> None:
        try:
            await step
        except (errors.StatusError, storage_errors.StorageError) as error:
            log.warning("what this server says of itself could not be withdrawn and will expire: %s", error)

    async def _withdraw_address(self) -> None:
        if not self._publishes:
            return
        key = self._prefix + self._address
        found = await self._store.get(key)
        if found.entry is not None:
            await self._store.delete(key, expected=found.entry.mod_revision)
        await self._publish_addresses()

    async def _publish(self, addresses: list[str]) -> None:
        family = "IPv6" if ipaddress.ip_address(self._address).version == 6 else "IPv4"
        port = {"name": "https", "port": self._port, "protocol": "TCP"}
        subsets = [{"addresses": [{"ip": each} for each in addresses], "ports": [port]}] if addresses else []
        endpoints: Object = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": _NAME,
                "namespace": _NAMESPACE,
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": subsets,
        }
        await self._put("endpoints", endpoints, ("subsets",))
        endpoint_slice: Object = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": _NAME,
                "namespace": _NAMESPACE,
                "labels": {"kubernetes.io/service-name": _NAME},
            },
            "addressType": family,
            "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in addresses],
            "ports": [port],
        }
        await self._put("endpointslices.discovery.k8s.io", endpoint_slice, ("endpoints", "ports"))

    async def _put(self, qualified: str, wanted: Object, fields: tuple[str, ...]) -> None:
        """Create the object, or bring these fields of it to what is wanted."""
        served = self._catalogue.named(qualified)
        namespace, name = meta.namespace(wanted), meta.name(wanted)
        if served.key(namespace, name) not in (await self._objects.cached(served)).items:
            await self._reconciler.ensure(qualified, wanted)

        def change(obj: Object) -> Object:
            for field in fields:
                obj[field] = wanted.get(field)
            return obj

        context = self._reconciler.context(served, "update")
        await self._objects.update(context, served, namespace, name, change)

    async def _identify(self) -> None:
        now = meta.format_micro_time(datetime.now(UTC))
        spec: Object = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": _IDENTITY_SECONDS,
            "renewTime": now,
        }
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.identity,
                "namespace": _SYSTEM,
                "labels": {
                    _IDENTITY: "kube-apiserver",
                    "kubernetes.io/hostname": socket.gethostname().lower(),
                },
                "annotations": {"kubernetes.io/peer-advertise-address": _joined(*self._place)},
            },
            "spec": spec,
        }
        await self._put(_LEASES, lease, ("spec",))


def _is_expired(lease: Object, now: datetime) -> bool:
    """Whether nobody renewed the lease in time; one without a time is nobody's."""
    spec = lease.get("spec") or {}
    renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    if not renewed or seconds is None:
        return True
    return meta.parse_time(renewed) + timedelta(seconds=seconds) < now


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
