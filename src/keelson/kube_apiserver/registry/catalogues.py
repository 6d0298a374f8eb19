"""Which resources are served, and where each is stored.

Built-in resources are there from the start; custom resources come and go. A version that is not the stored one has a
conversion: it reads and writes the same keys and shares the cache of the stored version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import orjson

from keelson.api import defaults, errors, resources, schemas
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.api.schemas import Schema
from keelson.component_base.histograms import Histogram
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Indexer
from keelson.kube_apiserver.encodings import protobuf
from keelson.storage.transformers import Transformer

from . import conversions, selectable_fields, stored_versions
from .listed_pieces import Pieces
from .owned_versions import OwnedVersions
from .views import VersionedIndexer, View

# Reviews and bindings are requests in the form of objects: nothing of them is stored.
# How self-described CBOR begins (RFC 8949, 3.4.6).
_CBOR = b"\xd9\xd9\xf7"
_STORED_VERB = "get"
_NOT_STORED = frozenset({"componentstatuses"})
# What clients of a built-in resource are told (Deprecation Policy), by API version and kind.
_DEPRECATED = {
    ("v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Between a served version and the stored one; both functions may change their argument."""

    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]


@dataclass(eq=False)
class Served:
    """One resource of one version."""

    resource: Resource
    # Makes the schema when it is first asked for: of many custom resources few are in use.
    shape: Callable[[], Schema]
    stored_api_version: str
    prefix: str
    list_kind: str
    conversion: Conversion | None = None
    custom: bool = False
    # What a CRD version states beside its schema; for built-in resources a deprecation, if anything.
    extras: dict[str, Any] = field(default_factory=dict)
    # Brings a custom object that comes out of the store into the shape that its CRD gives it.
    reader: Callable[[Object], Object] | None = None
    # Fields that the cache keeps for selectors where they are more than this one version's.
    indexed: tuple[str, ...] = ()
    # Whether the conversion changes nothing but apiVersion, so that stored bytes may be sent as they are.
    renames_only: bool = False
    # Its objects in this version where a webhook converts them: items are then in this version, and not as stored.
    view: View | None = None
    # Its other versions, where what is owned in one may lie elsewhere in another.
    versions: OwnedVersions | None = None
    # Wire forms of watch events, one object a form (see caches.watchers.Frames).
    frames: dict[Any, Any] = field(default_factory=dict)
    # Seconds that lists by watches took, by scope.
    watch_lists: dict[str, Histogram] = field(default_factory=dict)
    # Pieces of its lists by media type (see listed_pieces), and how many lists would rather have been protobuf.
    pieces: dict[str, Pieces] = field(default_factory=dict)
    protobuf_wanted: int = 0

    @cached_property
    def schema(self) -> Schema:
        """What its objects look like."""
        return self.shape()

    @property
    def is_plain(self) -> bool:
        """Whether the stored form is the served form, but for apiVersion."""
        return self.conversion is None or self.renames_only

    @property
    def is_stored(self) -> bool:
        """Whether its objects are kept at all."""
        return bool(self.prefix)

    def check_creation(self) -> None:
        """Raise StatusError 405 where its CRD is being deleted: nobody would delete what is created now."""
        if self.extras.get("terminating"):
            message = "create not allowed while custom resource definition is terminating"
            raise errors.StatusError(405, "MethodNotAllowed", message)

    def key(self, namespace: str, name: str) -> str:
        """The storage key of an object."""
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else f"{self.prefix}{name}"


class Catalogue:
    """All served resources, by group, version and plural."""

    def __init__(self, feed: Feed, transformer: Transformer, root: str = "/registry/") -> None:
        self._feed = feed
        self.transformer = transformer
        self._root = root
        self._served: dict[tuple[str, str, str], Served] = {}
        # Built-in resources that are not served, though the server itself may need their objects (--runtime-config).
        self._withheld: dict[tuple[str, str, str], Served] = {}
        self._collections: dict[str, Collection] = {}
        self._by_prefix: dict[str, str] = {}
        # Raised with every change, so that documents made of the catalogue know when they are stale.
        self.generation = 0
        for resource in resources.BUILT_IN:
            self.add(_built_in(resource, root))

    def add(self, served: Served) -> None:
        """Serve a resource (again)."""
        resource = served.resource
        self._served[resource.group, resource.version, resource.plural] = served
        if served.prefix and served.prefix not in self._collections:
            if served.view is not None:
                indexer: Indexer = VersionedIndexer(())
            else:
                fields = served.indexed or selectable_fields.of(served.resource, served.extras)
                indexer = Indexer(fields, selectable_fields.reader(served.resource))
            self._by_prefix[served.prefix] = served.resource.qualified
            self._collections[served.prefix] = self._feed.add(served.prefix, indexer, partial(self.decode, served))
        self.generation += 1

    def remove(self, served: Served) -> None:
        """Serve a resource no longer and end its watches; its stored objects are left alone."""
        resource = served.resource
        self._served.pop((resource.group, resource.version, resource.plural), None)
        if served.view is not None:
            served.view.close()
        if all(other.prefix != served.prefix for other in self._served.values()):
            collection = self._collections.pop(served.prefix, None)
            self._by_prefix.pop(served.prefix, None)
            self._feed.remove(served.prefix)
            if collection is not None:
                collection.expire()
        self.generation += 1

    def withhold(self, resources: Iterable[Resource]) -> None:
        """Serve these built-in resources to nobody; `named` and `collection` still know them."""
        for resource in resources:
            key = (resource.group, resource.version, resource.plural)
            self._withheld[key] = self._served.pop(key)
        self.generation += 1

    def resource_of(self, key: str) -> str:
        """Whose objects lie at a storage key: "secrets", "deployments.apps", or "" for what is no resource's."""
        # Prefixes have one segment below the root or two, as in services/specs/ or GROUP/RESOURCE/.
        first = key.find("/", len(self._root)) + 1
        second = key.find("/", first) + 1
        return self._by_prefix.get(key[:second]) or self._by_prefix.get(key[:first]) or ""

    def is_stored(self, qualified: str) -> bool:
        """Whether objects of a resource of this name, or of nobody's, may be in the store."""
        return not qualified or any(each == qualified for each in self._by_prefix.values())

    def decode(self, served: Served, key: str, value: bytes) -> Object:
        """The object that a stored value is. Raises ValueError, StatusError, storage's TransformError."""
        plain, _ = self.transformer.decode(key, value)
        obj = parse(plain)
        if served.reader is not None:
            return served.reader(obj)
        if obj.get("apiVersion") != served.stored_api_version:
            obj = stored_versions.current(obj, served.stored_api_version)
        if plain.startswith(protobuf.MAGIC):
            # Upstream defaults what it reads, so not all that it shows was written.
            defaults.apply(schemas.Kind(served.stored_api_version, served.resource.kind), obj)
        return obj

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """The resource, or None where it is not served."""
        return self._served.get((group, version, plural))

    def named(self, qualified: str) -> Served:
        """A built-in resource by `resources.lookup`'s name."""
        resource = resources.lookup(qualified)
        key = (resource.group, resource.version, resource.plural)
        return self._served.get(key) or self._withheld[key]

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def resources(self) -> Iterable[Resource]:
        """What discovery tells of."""
        return [served.resource for served in self._served.values()]

    def collection(self, served: Served) -> Collection:
        """The cache of its objects, loaded or not. Raises StatusError 404 where its CRD is gone."""
        if served.view is not None:
            return served.view.collection
        found = self._collections.get(served.prefix)
        if found is None:
            raise errors.path_not_found()
        return found


def parse(plain: bytes) -> Object:
    """A stored object: JSON, or upstream's protobuf or CBOR. Raises ValueError, StatusError for other bytes."""
    if plain.startswith(protobuf.MAGIC):
        return protobuf.decode(plain)
    if plain.startswith(_CBOR):
        # What upstream's server writes where its gate CBORServingAndStorage was on once.
        from keelson.api import cbor

        found: Object = cbor.loads(plain)
        return found
    decoded: Object = orjson.loads(plain)
    return decoded


def _built_in(resource: Resource, root: str) -> Served:
    stored = _STORED_VERB in resource.verbs and resource.plural not in _NOT_STORED
    conversion = conversions.BUILT_IN.get((resource.api_version, resource.kind))
    deprecation = _DEPRECATED.get((resource.api_version, resource.kind))
    return Served(
        resource=resource,
        shape=partial(schemas.of, resource),
        stored_api_version=conversion.stored if conversion is not None else resource.api_version,
        prefix=f"{root}{resource.storage_prefix}/" if stored else "",
        list_kind=f"{resource.kind}List",
        conversion=Conversion(conversion.to_stored, conversion.from_stored) if conversion is not None else None,
        extras={"deprecationWarning": deprecation} if deprecation is not None else {},
    )
