"""Follows the APIServices: which groups and versions other servers serve, and the road of a request to them.

The chain is only given a road while there is an APIService with a Service: a cluster without aggregation pays nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Change, Collection
from keelson.kube_apiserver.chains import Chain
from keelson.kube_apiserver.handlers import Handler
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.services.resolvers import Resolver
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .remotes import AVAILABLE, Remote, Transports

log = logging.getLogger(__name__)

API_SERVICES = "apiservices.apiregistration.k8s.io"


class Routes:
    """The remote groups and versions, as this instance knows them."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        chain: Chain,
        transports: Transports,
        resolver: Resolver,
        withheld: Sequence[str] = (),
    ) -> None:
        self._objects = objects
        self._chain = chain
        self._transports = transports
        self._resolver = resolver
        self._withheld = withheld
        self.resource = catalogue.named(API_SERVICES)
        self._catalogue = catalogue
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._by_name: dict[str, Remote] = {}
        # Told the names of the APIServices that changed.
        self.observers: list[Callable[[set[str]], None]] = []

    @property
    def collection(self) -> Collection:
        """The cache of the APIServices."""
        return self._catalogue.collection(self.resource)

    def remotes(self) -> list[Remote]:
        """Every remote group and version."""
        return list(self._by_name.values())

    def remote(self, name: str) -> Remote | None:
        """The server of an APIService, None where that is local or not there."""
        return self._by_name.get(name)

    def find(self, group: str, version: str) -> Handler | None:
        """The handler of whatever lies below a group and version, None where that is not another server's."""
        return self._handlers.get((group, version))

    def get(self, name: str) -> Object | None:
        """An APIService, None where there is none of this name."""
        item = self.collection.items.get(self.resource.key("", name))
        return None if item is None else self._objects.object(self.resource, item)

    def names(self) -> set[str]:
        """The names of all APIServices."""
        return {item.name for item in self.collection.items.values()}

    async def start(self) -> None:
        """Know what there is, and follow from here on."""
        collection = await self._objects.cached(self.resource)
        collection.observers.append(self._observe)
        self._observe(None)

    def _observe(self, changes: list[Change] | None) -> None:
        touched = self.names() | set(self._by_name) if changes is None else {change.told.name for change in changes}
        for name in touched:
            self._follow(name)
        self._chain.elsewhere = self.find if self._handlers else None
        for observe in self.observers:
            observe(touched)

    def _follow(self, name: str) -> None:
        found = self.get(name)
        held = self._by_name.get(name)
        if found is None or (found.get("spec") or {}).get("service") is None:
            if held is not None:
                self._drop(held)
            return
        if held is not None and held.spec == found["spec"]:
            held.available = meta.condition_is(found, AVAILABLE)
            return
        if held is not None:
            self._drop(held)
        made = Remote(found, self._transports, self._resolver, self._withheld)
        log.info("%s is served by service/%s in %s", name, made.reference.name, made.reference.namespace)

        async def handle(request: Request, _info: RequestInfo, user: User) -> Response | None:
            return await made.forward(request, user)

        self._by_name[name] = made
        self._handlers[made.group, made.version] = handle

    def _drop(self, remote: Remote) -> None:
        remote.forget()
        del self._by_name[remote.name]
        self._handlers.pop((remote.group, remote.version), None)
