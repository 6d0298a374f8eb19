"""The chain of admission plugins and what each of them is shown.

Mutating steps run before validation of the object, validating steps after it, both in the order of the chain
("Admission Control in Kubernetes").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.kube_apiserver.registry.contexts import Context

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(slots=True)
class Reinvocation:
    """What webhooks and policies remember of one request's mutating steps, which run a second time where one asks for
    it: `wanted`. `states` is theirs, by plugin."""

    round: int = 0
    wanted: bool = False
    states: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Attributes:
    """One write. `object` is None for a deletion, `old` None for a creation.

    `generated` says that the name was made up from generateName; who may still change the object is not shown it.
    `changed` says that a webhook or policy has changed the object: what was prepared of it must be prepared anew.
    """

    context: Context
    operation: str
    resource: Resource
    namespace: str
    name: str
    subresource: str = ""
    object: Object | None = None
    old: Object | None = None
    options: Object = field(default_factory=dict)
    generated: bool = False
    changed: bool = False
    reinvocation: Reinvocation | None = None

    @property
    def qualified(self) -> str:
        """The resource's name with its group, and "/subresource" where there is one."""
        return f"{self.resource.qualified}/{self.subresource}" if self.subresource else self.resource.qualified


class Chain:
    """The enabled plugins in their order.

    A plugin has a `name`, and `mutate`, which changes `Attributes.object` in place, or `validate`, which only looks, or
    both; either refuses by raising StatusError.

    A plugin with a property `active` is left out while that is false, so that what is not configured costs nothing; it
    calls the function that it is given as `on_activity` when that changes. One with `mutates_deletions` sees deletions
    in `mutate` too.
    """

    def __init__(self) -> None:
        self._plugins: Sequence[Any] = ()
        self._mutating: list[Any] = []
        self._validating: list[Any] = []
        self._deleting: list[Any] = []

    def use(self, plugins: Sequence[Any]) -> None:
        """Run these plugins from now on."""
        self._plugins = plugins
        for plugin in plugins:
            if hasattr(plugin, "active"):
                plugin.on_activity = self._choose
        self._choose()

    def _choose(self) -> None:
        active = [plugin for plugin in self._plugins if getattr(plugin, "active", True)]
        self._mutating = [p for p in active if hasattr(p, "mutate")]
        self._validating = [p for p in active if hasattr(p, "validate")]
        self._deleting = [p for p in self._mutating if getattr(p, "mutates_deletions", False)]

    async def mutate(self, attributes: Attributes) -> None:
        """Run the mutating steps, all of them once more where one has changed what an earlier one has seen."""
        for plugin in self._mutating:
            await plugin.mutate(attributes)
        again = attributes.reinvocation
        if again is not None and again.wanted:
            again.round = 1
            for plugin in self._mutating:
                await plugin.mutate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run the validating steps."""
        for plugin in self._validating:
            await plugin.validate(attributes)

    async def delete(self, attributes: Attributes) -> None:
        """Run every step that has a say in a deletion."""
        for plugin in self._deleting:
            await plugin.mutate(attributes)
        for plugin in self._validating:
            await plugin.validate(attributes)
