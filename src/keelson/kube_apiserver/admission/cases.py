"""One request as webhooks and policies see it: in the version that they match, with its namespace and what it is.

Made only where something is configured; everything here is found when it is first asked for, and once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served

from .chains import CONNECT, CREATE, DELETE, UPDATE, Attributes
from .lookups import Lookups
from .matching import Criteria, own_labels

# Subresources whose requests carry a kind of their own.
_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
_PROXIES = {"nodes": "NodeProxyOptions", "pods": "PodProxyOptions", "services": "ServiceProxyOptions"}
_OPTIONS = {CREATE: "CreateOptions", UPDATE: "UpdateOptions", DELETE: "DeleteOptions"}
# What the server says of a new object only after admission has seen it.
_LATER = ("uid", "creationTimestamp", "generation")


def copied(obj: Object) -> Object:
    """A copy that shares nothing; by way of its JSON, which is several times faster than by way of its parts."""
    found: Object = orjson.loads(orjson.dumps(obj))
    return found


class Kind(NamedTuple):
    """A GroupVersionKind."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """ "group/version", or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def stated(self) -> dict[str, str]:
        """As reviews write it."""
        return {"group": self.group, "version": self.version, "kind": self.kind}


class Shown(NamedTuple):
    """The request by one resource and kind; objects are the reader's own, a draft is yet to be changed."""

    resource: Resource
    kind: Kind
    object: Object | None
    old: Object | None
    is_draft: bool = False


class Case:
    """One request."""

    def __init__(self, attributes: Attributes, catalogue: Catalogue, lookups: Lookups) -> None:
        self.attributes = attributes
        self._catalogue = catalogue
        self._lookups = lookups
        self._equivalents: list[Served] | None = None
        self._namespace: Object | None = None
        self._shown: dict[Resource, Shown] = {}

    # --- matching

    def equivalents(self) -> Sequence[Resource]:
        """The other resources that show the same objects, with the request's subresource."""
        return [served.resource for served in self._served_equivalents()]

    def _served_equivalents(self) -> list[Served]:
        if self._equivalents is None:
            own, subresource = self.served(self.attributes.resource), self.attributes.subresource
            self._equivalents = [
                served
                for served in (self._catalogue if own is not None and own.prefix else ())
                if own is not None
                and served.prefix == own.prefix
                and served is not own
                and (not subresource or subresource in served.resource.subresources)
            ]
        return self._equivalents

    def served(self, resource: Resource) -> Served | None:
        """How a resource is served, None where it no longer is."""
        return self._catalogue.find(resource.group, resource.version, resource.plural)

    async def matched(self, criteria: Criteria) -> Resource | None:
        """The resource by which the criteria match, None where they don't. Raises StatusError 404, 500."""
        attributes = self.attributes
        found = criteria.resource(attributes, self.equivalents)
        if found is None:
            return None
        if criteria.problem:
            raise errors.internal(criteria.problem)
        if not criteria.selects_object(attributes):
            return None
        if criteria.needs_namespace(attributes):
            labels = own_labels(attributes)
            if labels is None:
                labels = meta.labels(await self._required_namespace())
            if not criteria.namespaces.matches(labels):
                return None
        return found

    async def _required_namespace(self) -> Object:
        if self._namespace is None:
            name = self.attributes.namespace or self.attributes.name
            self._namespace = await self._lookups.get("namespaces", "", name)
            if self._namespace is None:
                raise errors.not_found("namespaces", name)
        return self._namespace

    async def namespace(self) -> Object | None:
        """The Namespace of the request, None where it is the cluster's. Raises StatusError 404."""
        if not self.attributes.namespace or self.attributes.resource.qualified == "namespaces":
            return None
        return await self._required_namespace()

    # --- what is shown

    def kind(self, resource: Resource) -> Kind:
        """The kind of the request's object by a resource."""
        subresource = self.attributes.subresource
        if subresource == "proxy":
            return Kind("", "v1", _PROXIES[resource.plural])
        if subresource in _KINDS:
            return Kind(*_KINDS[subresource])
        return Kind(resource.group, resource.version, resource.kind)

    async def shown(self, resource: Resource, *, anew: bool = False) -> Shown:
        """The request by a resource that `matched` gave. With `anew` the object is converted again: it has changed."""
        if anew or resource not in self._shown:
            attributes = self.attributes
            self._shown[resource] = Shown(
                resource,
                self.kind(resource),
                await self._converted(attributes.object, attributes.resource, resource),
                await self._converted(attributes.old, attributes.resource, resource),
            )
        return self._shown[resource]

    async def draft(self, resource: Resource) -> Shown:
        """As `shown`, for those who may still change the object: without what is only said after them."""
        attributes = self.attributes
        shown = (await self.shown(resource, anew=True))._replace(is_draft=True)
        if attributes.operation == CREATE and not attributes.subresource and shown.object is not None:
            for field in (*_LATER, "name") if attributes.generated else _LATER:
                shown.object.get("metadata", {}).pop(field, None)
        return shown

    async def _converted(self, obj: Object | None, source: Resource, target: Resource) -> Object | None:
        if obj is None:
            return None
        found = copied(obj)
        if source is target or target == source or found.get("kind") != source.kind:
            return found
        here, there = self.served(source), self.served(target)
        if here is None or there is None:
            raise errors.internal(f"unable to convert to {target.api_version}, Kind={target.kind}: unknown kind")
        if there.view is not None:
            return await there.view.decoded(found)
        if here.view is not None:
            return await here.view.to_stored(found)
        if here.conversion is not None:
            found = here.conversion.to_stored(found)
        return there.conversion.from_stored(found) if there.conversion is not None else found

    async def accept(self, shown: Shown, changed: Object) -> None:
        """Put an object that was changed in a shown version in the place of the request's."""
        attributes = self.attributes
        back = await self._converted(changed, shown.resource, attributes.resource)
        assert back is not None
        assert attributes.object is not None
        if shown.is_draft and attributes.operation == CREATE and not attributes.subresource:
            # What was not shown is there again for those who come after.
            metadata, before = back.setdefault("metadata", {}), attributes.object["metadata"]
            metadata |= {field: before[field] for field in _LATER if field in before}
            if attributes.generated:
                attributes.generated = not metadata.get("name")
                metadata["name"] = metadata.get("name") or before["name"]
        attributes.object.clear()
        attributes.object.update(back)
        attributes.changed = True

    def request(self, shown: Shown) -> dict[str, Any]:
        """The parts of an AdmissionRequest that expressions may read and reviews send (without uid and objects)."""
        attributes = self.attributes
        own = attributes.resource
        request: dict[str, Any] = {
            "kind": shown.kind.stated(),
            "resource": _resource(shown.resource),
            "requestKind": self.kind(own).stated(),
            "requestResource": _resource(own),
            "operation": attributes.operation,
            "userInfo": attributes.context.user.described(),
            "dryRun": attributes.context.dry_run,
            "options": self._options(),
        }
        name = "" if shown.is_draft and attributes.generated else attributes.name
        named = {
            "subResource": attributes.subresource,
            "requestSubResource": attributes.subresource,
            # Of a collection no names are told; the objects have them.
            "name": "" if attributes.context.info.verb == "deletecollection" else name,
            # A namespace is in itself, also while it is being created.
            "namespace": attributes.namespace or (name if own.qualified == "namespaces" else ""),
        }
        return request | {field: value for field, value in named.items() if value}

    def _options(self) -> Object | None:
        attributes = self.attributes
        if attributes.operation == CONNECT:
            return None
        options: Object = {**attributes.context.stated, **attributes.options}
        if attributes.context.dry_run:
            options["dryRun"] = ["All"]
        return options | {"kind": _OPTIONS[attributes.operation], "apiVersion": "meta.k8s.io/v1"}


def _resource(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
