"""How admission reads other objects: from the cache, and once more from the store where the cache has none."""

from __future__ import annotations

from collections.abc import Mapping

from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects


class Lookups:
    """Objects by resource ("pods", "deployments.apps"), namespace and name."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

    async def item(self, resource: str, namespace: str, name: str) -> Item | None:
        """The item, None where the store has none either: a cache may lag behind what the client just created."""
        served = self._catalogue.named(resource)
        key = served.key(namespace, name)
        item = (await self._objects.cached(served)).items.get(key)
        return item if item is not None else (await self._objects.fresh(served)).items.get(key)

    async def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object of `item`."""
        item = await self.item(resource, namespace, name)
        return None if item is None else self._objects.object(self._catalogue.named(resource), item)

    async def list(self, resource: str) -> list[Object]:
        """All objects of the resource, as the cache has them."""
        served = self._catalogue.named(resource)
        collection = await self._objects.cached(served)
        return [self._objects.object(served, item) for item in collection.items.values()]

    async def labels(self, resource: str, namespace: str, name: str) -> Mapping[str, str]:
        """The object's labels without the object; none where there is no object either."""
        served = self._catalogue.named(resource)
        key = served.key(namespace, name)
        item = (await self._objects.cached(served)).items.get(key)
        if item is None:
            item = (await self._objects.fresh(served)).items.get(key)
        return {} if item is None else item.labels

    def namespaced(self, resource: str) -> Namespaced:
        """The objects of a built-in resource by namespace."""
        return Namespaced(self._catalogue, self._objects, resource)


class Namespaced:
    """One resource's objects by namespace, for plugins that most namespaces do not concern.

    While there is no such object at all, a look costs nothing but a comparison.
    """

    def __init__(self, catalogue: Catalogue, objects: Objects, resource: str) -> None:
        self.served = catalogue.named(resource)
        self.objects = objects
        self._collection: Collection | None = None

    async def items(self, namespace: str) -> list[Item]:
        """The items of a namespace, as the cache has them."""
        if self._collection is None:
            self._collection = await self.objects.cached(self.served)
        if not self._collection.items:
            return []
        return self._collection.select(Selection(namespace))[0]

    async def list(self, namespace: str) -> list[Object]:
        """The objects of a namespace, as the cache has them."""
        return [self.objects.object(self.served, item) for item in await self.items(namespace)]
