"""Which policies a request meets, by which bindings, and with which parameters: common to both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from keelson.api import errors
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.kube_apiserver.admission.cases import Case
from keelson.kube_apiserver.admission.sources import Source
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

from .parameters import ConfigurationError, Parameters

if TYPE_CHECKING:
    from .definitions import Binding, Policy


def _policy(obj: Object) -> Policy:
    # Without policies the language of their expressions is not loaded.
    from . import definitions

    return definitions.policy(obj)


def _binding(obj: Object) -> Binding:
    from . import definitions

    return definitions.binding(obj)


class Match(NamedTuple):
    """A policy to be evaluated with one parameter; or `problem`, why it can't be (`binding` None: none can)."""

    policy: Policy
    binding: Binding | None
    resource: Resource
    param: Object | None = None
    problem: str = ""


class InForce:
    """The policies of one kind that have bindings. `on_change` is called when whether there are any changes."""

    def __init__(self, catalogue: Catalogue, objects: Objects, policies: str, bindings: str) -> None:
        self._parameters = Parameters(catalogue, objects)
        self._policies: Source[Policy] = Source(catalogue, objects, policies, _policy)
        self._bindings: Source[Binding] = Source(catalogue, objects, bindings, _binding)
        self.sources = [self._policies, self._bindings]
        self._found: list[tuple[Policy, list[Binding]]] = []
        self.on_change: Callable[[], None] = lambda: None
        self._policies.on_change = self._bindings.on_change = self._reload

    def __bool__(self) -> bool:
        return bool(self._found)

    def _reload(self) -> None:
        before = bool(self._found)
        bound: dict[str, list[Binding]] = {}
        for binding in self._bindings.found:
            bound.setdefault(binding.policy, []).append(binding)
        self._found = [(policy, bound[policy.name]) for policy in self._policies.found if policy.name in bound]
        if before != bool(self._found):
            self.on_change()

    async def matches(self, case: Case) -> AsyncIterator[Match]:
        """Every match, in the order of policies, bindings and parameters."""
        for policy, bindings in self._found:
            resource = case.attributes.resource
            try:
                found = await case.matched(policy.criteria)
            except errors.StatusError as error:
                yield Match(policy, None, resource, problem=f"failed to configure policy: {error.message}")
                continue
            if found is None:
                continue
            try:
                kind = self._parameters.kind(policy)
            except ConfigurationError as error:
                yield Match(policy, None, found, problem=f"failed to configure policy: {error}")
                continue
            for binding in bindings:
                try:
                    if binding.criteria is not None and await case.matched(binding.criteria) is None:
                        continue
                    params: Sequence[Object | None] = await self._parameters.of(
                        kind, binding, case.attributes.namespace
                    )
                except (ConfigurationError, errors.StatusError) as error:
                    why = error.message if isinstance(error, errors.StatusError) else str(error)
                    yield Match(policy, binding, found, problem=f"failed to configure binding: {why}")
                    continue
                for param in params:
                    yield Match(policy, binding, found, param)
