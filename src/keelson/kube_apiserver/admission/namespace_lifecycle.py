"""NamespaceLifecycle: nothing is created in a namespace that does not exist or is ending; three are never deleted."""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.recents import Recent

from .chains import CREATE, DELETE, Attributes
from .lookups import Lookups

_REMEMBERED = 10_000
_IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
# Reviews of access are no objects of the namespace that they name.
_FREE = frozenset(("localsubjectaccessreviews.authorization.k8s.io",))


class NamespaceLifecycle:
    """Reads namespaces."""

    name = "NamespaceLifecycle"
    # It changes nothing, but comes before those that do: what an ending namespace lacks must not be the answer.
    mutates_deletions = True

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        # Namespaces as they were when last seen not to be ending: most writes are to one of a few.
        self._living: Recent[str, Item] = Recent(_REMEMBERED)

    async def mutate(self, attributes: Attributes) -> None:
        """Refuse with 403 or 404 what the namespace's life does not allow."""
        resource = attributes.resource
        if attributes.operation == DELETE and resource.qualified == "namespaces" and attributes.name in _IMMORTAL:
            raise errors.forbidden("namespaces", attributes.name, "this namespace may not be deleted")
        if attributes.operation != CREATE or not resource.namespaced or attributes.subresource:
            return
        if resource.qualified in _FREE:
            return
        name = attributes.namespace
        item = await self._lookups.item("namespaces", "", name)
        if item is None:
            raise errors.not_found("namespaces", name)
        if self._living.get(name) is item:
            return
        if not meta.is_deleting(item.object("v1", "Namespace")):
            self._living[name] = item
            return
        why = f"unable to create new content in namespace {attributes.namespace} because it is being terminated"
        error = errors.forbidden(resource.plural, attributes.name, why, group=resource.group)
        cause = errors.cause(
            "metadata.namespace",
            "NamespaceTerminating",
            f"namespace {attributes.namespace} is being terminated",
        )
        error.details["causes"] = [cause]
        raise error
