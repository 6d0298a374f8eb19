"""The parameters of a binding: objects of any kind that the policy names, read from the server's own cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keelson.api import selectors
from keelson.api.meta import Object
from keelson.api.selectors import SelectorError
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.objects import Objects

if TYPE_CHECKING:
    from .definitions import Binding, Policy


class ConfigurationError(Exception):
    """A policy or binding that can't be evaluated as it stands; the message is upstream's."""


class Parameters:
    """Finds parameters."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

    def kind(self, policy: Policy) -> Served | None:
        """How the policy's parameters are served, None where it has none. Raises ConfigurationError."""
        if policy.param_kind is None:
            return None
        version, kind = policy.param_kind
        for served in self._catalogue:
            if served.is_stored and (served.resource.api_version, served.resource.kind) == (version, kind):
                return served
        shown = f"&ParamKind{{APIVersion:{version},Kind:{kind},}}"
        raise ConfigurationError(f"failed to find resource referenced by paramKind: '{shown}'")

    async def of(self, served: Served | None, binding: Binding, namespace: str) -> list[Object | None]:
        """What to evaluate the policy with: once with each. `namespace` is the request's. Raises ConfigurationError."""
        reference = binding.param_ref
        if served is None or reference is None:
            return [None]
        where = self._namespace(served, reference, namespace)
        if reference.get("name"):
            found = await self._named(served, where, reference["name"])
        elif reference.get("selector") is not None:
            found = await self._selected(served, where, reference["selector"])
        else:
            raise ConfigurationError("one of name or selector must be provided")
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction")
        return list(found)

    def _namespace(self, served: Served, reference: Mapping[str, Any], namespace: str) -> str:
        stated = reference.get("namespace") or ""
        if not served.resource.namespaced:
            if stated:
                raise ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
            return ""
        if not stated and not namespace:
            raise ConfigurationError(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
        return stated or namespace

    async def _named(self, served: Served, namespace: str, name: str) -> list[Object]:
        key = served.key(namespace, name)
        item = (await self._objects.cached(served)).items.get(key)
        if item is None:
            # It may just have been created; what the store does not have either is not there.
            item = (await self._objects.fresh(served)).items.get(key)
        return [] if item is None else [self._objects.object(served, item)]

    async def _selected(self, served: Served, namespace: str, stated: Mapping[str, Any]) -> list[Object]:
        try:
            selector = selectors.from_label_selector(stated)
        except SelectorError as error:
            raise ConfigurationError(str(error)) from error
        items = (await self._objects.cached(served)).items.values()
        return [
            self._objects.object(served, item)
            for item in items
            if (not namespace or item.namespace == namespace) and selector.matches(item.labels)
        ]
