"""How admission reads other objects: from the cache, and once more from the store where the cache has none."""

from __future__ import annotations

from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects


class Lookups:
    """Objects by resource ("pods", "deployments.apps"), namespace and name."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

    async def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object, None where the store has none either: a cache may lag behind what the client just created."""
        served = self._catalogue.named(resource)
        key = served.key(namespace, name)
        item = (await self._objects.cached(served)).items.get(key)
        if item is None:
            item = (await self._objects.fresh(served)).items.get(key)
        return None if item is None else self._objects.object(served, item)

    async def list(self, resource: str) -> list[Object]:
        """All objects of the resource, as the cache has them."""
        served = self._catalogue.named(resource)
        collection = await self._objects.cached(served)
        return [self._objects.object(served, item) for item in collection.items.values()]
