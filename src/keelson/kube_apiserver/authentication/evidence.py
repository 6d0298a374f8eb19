"""What credentials rest on: the accounts, pods, nodes and Secrets that they name."""

from __future__ import annotations

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.bootstrap.reconcilers import Reconciler
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

from .credentials import Ground
from .legacy_tokens import LAST_USED


class Evidence:
    """Looks at them, by resource, namespace ("" for none) and name."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

    async def lookup(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object: from the cache, and once more from the store where the cache lacks it."""
        served = self._catalogue.named(resource)
        item = (await self._objects.cached(served)).items.get(served.key(namespace, name))
        if item is None:
            item = (await self._objects.fresh(served)).items.get(served.key(namespace, name))
        return None if item is None else self._objects.object(served, item)

    def find(self, resource: str, namespace: str, name: str) -> Ground | None:
        """The item, as the cache has it."""
        served = self._catalogue.named(resource)
        collection, key = self._catalogue.collection(served), served.key(namespace, name)
        item = collection.items.get(key)
        return None if item is None else Ground(collection, key, item)

    async def mark_used(self, secret: Object, day: str) -> None:
        """Label a Secret with the day on which its token was used last."""
        served = self._catalogue.named("secrets")

        def change(obj: Object) -> Object:
            if meta.uid(obj) == meta.uid(secret):
                obj["metadata"].setdefault("labels", {})[LAST_USED] = day
            return obj

        context = Reconciler(self._catalogue, self._objects).context(served, "patch")
        await self._objects.update(context, served, meta.namespace(secret), meta.name(secret), change)
