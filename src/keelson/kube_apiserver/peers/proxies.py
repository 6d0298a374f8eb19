"""The mixed-version proxy (KEP-4020): what this instance does not serve and a peer does is passed on to the peer.

Peers are known by their identity leases, what they serve by their discovery, and where they are by their own word in
the store. A request is passed on at most once, in the user's name and under this server's front-proxy certificate; the
peer is verified by --peer-ca-file as kubernetes.default.svc. The road is only taken for resources that are not in the
catalogue, so it costs other requests nothing.

Custom and aggregated resources are the same for all instances, and never a reason to ask a peer.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from keelson.api import errors
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.aggregation import identities
from keelson.kube_apiserver.aggregation.remotes import RemoteError, Transports
from keelson.kube_apiserver.aggregation.routes import Routes
from keelson.kube_apiserver.caches.collections import Change, Collection
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.handlers import Handler
from keelson.kube_apiserver.proxies import addresses
from keelson.kube_apiserver.proxies import documents as remote_documents
from keelson.kube_apiserver.proxies import headers as proxied_headers
from keelson.kube_apiserver.proxies.backends import Backend, BackendError, Target
from keelson.kube_apiserver.proxies.forwarding import forward
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo
from keelson.storage.errors import StorageError

from . import documents
from .documents import Place
from .places import PlaceError, Places

log = logging.getLogger(__name__)

# What a request was passed on with: whoever gets it serves it or refuses it.
_PROXIED = "X-Kubernetes-Peer-Proxied"
_SERVER_NAME = "kubernetes.default.svc"
_NAMESPACE, _LABEL, _VALUE = "kube-system", "apiserver.kubernetes.io/identity", "kube-apiserver"
_LEASES = "leases.coordination.k8s.io"
_DISCOVERER = User("system:apiserver", ("system:authenticated",), "system:apiserver")
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# A peer tells what it serves itself; one that does not know the profile has no peers to tell of.
_ACCEPT = f"{_AGGREGATED};profile=nopeer,{_AGGREGATED},application/json"
_CONNECT_SECONDS = 5.0
_FETCH_SECONDS = 10.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 30.0

_REROUTED = metrics.counter(
    "apiserver_rerouted_request_total",
    "Requests that were passed on to another instance, which serves what this one does not.",
    ("code", "group", "version", "resource"),
)
_FAILED = metrics.counter(
    "apiserver_peer_proxy_errors_total",
    "Requests that could not be passed on to another instance.",
    ("type", "group", "version", "resource"),
)
_UNDISCOVERED = metrics.counter(
    "apiserver_peer_discovery_sync_errors_total", "Failures to learn what another instance serves.", ("type",)
)


class _Peer(NamedTuple):
    """What another instance serves: its resources, and the groups of its /apis."""

    resources: frozenset[Place]
    groups: list[Object]


class Peers:
    """The other instances, as this one knows them. `generation` is raised with every change of what they serve."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        places: Places,
        routes: Routes,
        transports: Transports,
        authority: str,
        withheld: Sequence[str] = (),
    ) -> None:
        """`authority` is the file of --peer-ca-file; `withheld` are beginnings of headers that state identities."""
        self._catalogue = catalogue
        self._objects = objects
        self._places = places
        self._routes = routes
        self._transports = transports
        self._authority = Path(authority)
        self._withheld = (*withheld, _PROXIED.lower())
        self._bundle = ""
        self.reload()
        self._leases = catalogue.named(_LEASES)
        self._own = ""
        self._holders: dict[str, str] = {}
        self._peers: dict[str, _Peer] = {}
        self._changed = asyncio.Event()
        self.generation = 0
        # Whether it is known which peers there are.
        self.synced = False

    def reload(self) -> None:
        """Read the peers' authority again. Raises OSError."""
        if self._bundle:
            self._transports.forget(self._bundle, insecure=False)
        self._bundle = base64.b64encode(self._authority.read_bytes()).decode()

    # --- who there is, and what they serve

    async def run(self, identity: str) -> None:
        """Follow the peers of the instance `identity` for ever."""
        self._own = identity
        collection = await self._objects.cached(self._leases)
        collection.observers.append(partial(self._observe, collection))
        self._observe(collection, None)
        self.synced = True
        pause = _FIRST_RETRY_SECONDS
        while True:
            self._changed.clear()
            complete = await self._look()
            pause = _FIRST_RETRY_SECONDS if complete else min(pause * 2, _LAST_RETRY_SECONDS)
            try:
                async with asyncio.timeout(None if complete else pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _observe(self, collection: Collection, changes: list[Change] | None) -> None:
        if changes is None:
            items: Iterable[Item] = collection.items.values()
            self._holders = {item.name: _holder(item) for item in items if self._is_peer(item)}
            self._changed.set()
            return
        for change in changes:
            if not self._is_peer(change.told):
                continue
            name, held = change.told.name, self._holders.get(change.told.name)
            if change.current is None:
                self._holders.pop(name, None)
            else:
                self._holders[name] = _holder(change.current)
            if self._holders.get(name) != held:
                # It came, went, or is another process now, which may serve something else.
                self._changed.set()

    def _is_peer(self, item: Item) -> bool:
        return item.labels.get(_LABEL) == _VALUE and item.namespace == _NAMESPACE and item.name != self._own

    async def _look(self) -> bool:
        """Ask all peers what they serve; whether all have answered."""
        names = sorted(self._holders)
        answers = await asyncio.gather(*(self._asked(name) for name in names))
        found = {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}
        # What a peer that is silent now has said before holds as long as its lease is there.
        known = {name: peer for name, peer in self._peers.items() if name in self._holders} | found
        if known != self._peers:
            self._peers = known
            self.generation += 1
        return None not in answers

    async def _asked(self, name: str) -> _Peer | None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                target = await self._target(name)
                legacy = await _groups(target, "/api")
                groups = await _groups(target, "/apis")
            custom = self._custom()
            shown = [_without(group, custom) for group in groups]
            groups = [group for group in shown if group["versions"]]
            return _Peer(frozenset(documents.resources([*legacy, *groups])), groups)
        except PlaceError as error:
            # Instances write their lease and their place one after the other.
            _UNDISCOVERED.labels("hostport_resolution").inc()
            log.info("the peer %s can't be asked now: %s", name, error)
        except (BackendError, RemoteError, StorageError, TimeoutError, ValueError, KeyError, TypeError) as error:
            _UNDISCOVERED.labels("fetch_discovery").inc()
            log.warning("the peer %s does not tell what it serves: %s", name, error or "timed out")
        return None

    def _custom(self) -> set[tuple[str, str]]:
        """Groups and versions that every instance gets from the same objects."""
        own = {(each.resource.group, each.resource.version) for each in self._catalogue if each.custom}
        return own | {(remote.group, remote.version) for remote in self._routes.remotes()}

    async def _target(self, name: str) -> Target:
        """Where a peer is. Raises PlaceError, RemoteError, StorageError."""
        host, port = await self._places.find(name)
        context = self._transports.context(self._bundle, insecure=False)
        # Two instances may run on one host.
        return Target(host, port, context, addresses.is_node_address, _SERVER_NAME)

    # --- for discovery

    def merged(self, groups: Sequence[Object]) -> list[Object]:
        """The groups of this server with those of its peers."""
        return documents.merged(groups, (self._peers[name].groups for name in sorted(self._peers)))

    # --- for requests

    def find(self, request: Request, info: RequestInfo) -> Handler | None:
        """A handler that passes a request on to a peer that serves what it is for, None where there is none.

        What was passed on by a peer itself goes no further. The handler raises StatusError 503 where none of the peers
        can be reached.
        """
        if request.headers.get(_PROXIED.lower()) == "true":
            return None
        place = (info.group, info.version, info.resource)
        names = [name for name, peer in self._peers.items() if place in peer.resources]
        return partial(self._forward, names) if names else None

    async def _forward(self, names: Sequence[str], request: Request, info: RequestInfo, user: User) -> Response | None:
        labels = (info.group, info.version, info.resource)
        order = list(names)
        # Peers are alike: which of them has the work is left to chance.
        random.shuffle(order)
        try:
            named = identities.of_user(user)
            target = await self._first_target(order)
        except identities.HeaderError as error:
            raise errors.unavailable(str(error)) from error
        except (PlaceError, RemoteError, StorageError) as error:
            _FAILED.labels("endpoint_resolution", *labels).inc()
            log.error("no peer that serves %s can be found: %s", info.path, error)
            raise errors.unavailable("Error getting ip and port info of the remote server while proxying") from error
        sent = proxied_headers.of_request(
            request.headers, target.authority, remote=request.remote, withheld=self._withheld
        )
        sent += [(_PROXIED, "true"), *named]
        unreachable = "Error while proxying request to destination apiserver"
        try:
            backend = await Backend.connect(target, _CONNECT_SECONDS)
        except BackendError as error:
            _FAILED.labels("proxy_transport", *labels).inc()
            raise errors.unavailable(f"{unreachable}: {error}") from error
        try:
            return await forward(
                backend,
                request,
                request.target,
                sent,
                relocate=lambda location: location,
                unreachable=unreachable,
                noted=lambda status: _REROUTED.labels(str(status), *labels).inc(),
            )
        finally:
            backend.close()

    async def _first_target(self, names: Sequence[str]) -> Target:
        """The first of the peers that states a place. Raises PlaceError, RemoteError, StorageError."""
        why: PlaceError | None = None
        for name in names:
            try:
                return await self._target(name)
            except PlaceError as error:
                why = error
        raise why or PlaceError("no peer is known")


async def _groups(target: Target, path: str) -> list[Object]:
    """The APIGroupDiscoveries of a document. Raises BackendError, or what strange documents raise."""
    sent = [("Accept", _ACCEPT), *identities.of_user(_DISCOVERER)]
    answer = await remote_documents.fetch(target, path, sent)
    if answer.status != 200:
        raise BackendError(f"discovery request failed with status: {answer.status}")
    document: Any = orjson.loads(answer.body)
    if document.get("kind") != "APIGroupDiscoveryList":
        raise ValueError(f"{path} is no APIGroupDiscoveryList")
    groups: list[Object] = document.get("items") or []
    return groups


def _without(group: Object, left_out: set[tuple[str, str]]) -> Object:
    name = group["metadata"].get("name") or ""
    versions = [each for each in group.get("versions") or () if (name, each["version"]) not in left_out]
    return {**group, "versions": versions}


def _holder(item: Item) -> str:
    spec = item.object("coordination.k8s.io/v1", "Lease").get("spec") or {}
    return str(spec.get("holderIdentity") or "")
