"""Makes the catalogue follow the CRDs: what is established is served, by every instance as soon as its feed knows.

The observer runs where the feed tells of changes, so that a read which has waited for a revision sees the catalogue of
that revision. A CRD whose specification changed is served anew: its cache is dropped and its watches end, as upstream
ends them, because every object may look different now.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import NamedTuple

import orjson

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.paths import PathError
from keelson.kube_apiserver.caches.collections import Change, Collection
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.registry.views import Shown, View
from keelson.kube_apiserver.serving.request_infos import RequestInfo
from keelson.kube_apiserver.webhooks.clients import Clients

from . import names, versions
from .conversions import Webhook

log = logging.getLogger(__name__)

RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"


class _Held(NamedTuple):
    """What is served of one CRD, and a digest of the part of the CRD that it was made of."""

    source: bytes
    served: list[Served]


class Definitions:
    """The CRDs, as this instance serves them."""

    def __init__(self, catalogue: Catalogue, objects: Objects, feed: Feed, clients: Clients, root: str) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._feed = feed
        self._clients = clients
        self._root = root
        self._resource = catalogue.named(RESOURCE)
        self._held: dict[str, _Held] = {}
        # Without their schemas, which are nearly all of their size: everything is looked through for names.
        self._outlines: dict[str, Object] = {}

    @property
    def collection(self) -> Collection:
        """The cache of the CRDs."""
        return self._catalogue.collection(self._resource)

    async def start(self) -> None:
        """Serve what there is, and follow from here on."""
        collection = await self._objects.cached(self._resource)
        collection.observers.append(self._observe)
        self._observe(None)

    def all(self) -> list[Object]:
        """The CRDs, of whose specification group and names are shown, oldest first: names go to who came first."""
        found = self._outlines.values()
        return sorted(found, key=lambda d: (meta.metadata(d).get("creationTimestamp") or "", meta.name(d)))

    def get(self, name: str) -> Object | None:
        """One of `all`, None where there is none of this name."""
        return self._outlines.get(name)

    def _read(self, name: str) -> Object | None:
        item = self.collection.items.get(self._resource.key("", name))
        if item is None:
            self._outlines.pop(name, None)
            return None
        definition = self._objects.object(self._resource, item)
        spec = {field: definition["spec"].get(field) for field in ("group", "names", "conversion")}
        if definition["spec"].get("preserveUnknownFields"):
            # Older than the rule that schemas are structural: its status tells whether it could be without this.
            spec |= {field: definition["spec"][field] for field in ("preserveUnknownFields", "versions")}
        self._outlines[name] = {**definition, "spec": spec}
        return definition

    def served(self, name: str) -> list[Served]:
        """What is served of a CRD, one a version."""
        held = self._held.get(name)
        return [] if held is None else held.served

    async def missing(self, info: RequestInfo) -> Served | None:
        """A resource that the catalogue lacks, if the store knows its CRD: another instance may have just made it."""
        if "." not in info.group:
            return None
        await self._objects.fresh(self._resource)
        return self._catalogue.find(info.group, info.version, info.resource)

    def _observe(self, changes: list[Change] | None) -> None:
        if changes is None:
            present = {item.name for item in self.collection.items.values()}
            touched = present | set(self._outlines)
        else:
            touched = {change.told.name for change in changes}
        for name in sorted(touched):
            self._follow(name)

    def _follow(self, name: str) -> None:
        definition = self._read(name)
        if definition is None or not names.is_served(definition):
            self._drop(name)
            return
        made_of = orjson.dumps([meta.uid(definition), definition["spec"], names.accepted(definition)])
        source = hashlib.blake2b(made_of, digest_size=16).digest()
        held = self._held.get(name)
        if held is None or held.source != source:
            self._drop(name)
            held = self._serve(name, definition, source)
        for each in held.served:
            each.extras["terminating"] = meta.condition_is(definition, names.TERMINATING)

    def _view(self, webhook: Object, shape: Callable[[Object], Object], shown: Shown) -> View:
        converter = Webhook(self._clients, webhook["clientConfig"], webhook["conversionReviewVersions"], shape)
        return View(self._feed, converter, shown)

    def _serve(self, name: str, definition: Object, source: bytes) -> _Held:
        try:
            made = versions.served(definition, self._root, self._view)
        except (PathError, KeyError, TypeError, ValueError, AttributeError) as error:
            # Validation lets none of these through; what reached the store on another road must not stop the server.
            log.error("CustomResourceDefinition %s can't be served: %s", name, error)
            made = []
        for each in made:
            self._catalogue.add(each)
        held = self._held[name] = _Held(source, made)
        return held

    def _drop(self, name: str) -> None:
        held = self._held.pop(name, None)
        for each in held.served if held is not None else ():
            self._catalogue.remove(each)
