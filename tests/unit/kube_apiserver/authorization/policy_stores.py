"""Collections filled by hand, so that authorisers can be asked without a server."""

from __future__ import annotations

from typing import Any

from keelson.api import resources
from keelson.kube_apiserver.authorization.rbac import Rbac
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.items import Indexer
from keelson.kube_apiserver.registry import selectable_fields

_RBAC = "rbac.authorization.k8s.io"
_NAMES = {
    "Role": f"roles.{_RBAC}",
    "ClusterRole": f"clusterroles.{_RBAC}",
    "RoleBinding": f"rolebindings.{_RBAC}",
    "ClusterRoleBinding": f"clusterrolebindings.{_RBAC}",
}


class Stock:
    """Collections by resource, changed as the feed would change them."""

    def __init__(self) -> None:
        self._revision = 1
        self._collections: dict[str, Collection] = {}

    def collection(self, qualified: str) -> Collection:
        """The collection of a built-in resource."""
        found = self._collections.get(qualified)
        if found is None:
            resource = resources.lookup(qualified)
            indexer = Indexer(selectable_fields.of(resource, {}))
            found = self._collections[qualified] = Collection(f"/registry/{resource.storage_prefix}/", indexer)
        return found

    def _key(self, qualified: str, obj: dict[str, Any]) -> str:
        metadata = obj["metadata"]
        namespace = metadata.get("namespace") or ""
        prefix = self.collection(qualified).prefix
        return f"{prefix}{namespace}/{metadata['name']}" if namespace else prefix + metadata["name"]

    def put(self, qualified: str, obj: dict[str, Any]) -> None:
        """Store an object."""
        self._revision += 1
        collection, key = self.collection(qualified), self._key(qualified, obj)
        copy = {**obj, "metadata": dict(obj["metadata"])}
        change = collection.apply(key, self._revision, collection.indexer.item(key, copy, self._revision), 0.0)
        assert change is not None
        collection.tell([change])

    def remove(self, qualified: str, obj: dict[str, Any]) -> None:
        """Remove an object."""
        self._revision += 1
        collection = self.collection(qualified)
        change = collection.apply(self._key(qualified, obj), self._revision, None, 0.0)
        assert change is not None
        collection.tell([change])


class Policy:
    """An RBAC authoriser whose roles and bindings are put in one by one."""

    def __init__(self) -> None:
        self._stock = Stock()
        self.rbac = Rbac(*(self._stock.collection(name) for name in _NAMES.values()))

    def put(self, obj: dict[str, Any]) -> None:
        """Store a role or binding."""
        self._stock.put(_NAMES[obj["kind"]], obj)

    def remove(self, obj: dict[str, Any]) -> None:
        """Remove it."""
        self._stock.remove(_NAMES[obj["kind"]], obj)
