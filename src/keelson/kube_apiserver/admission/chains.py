"""The chain of admission plugins and what each of them is shown.

Mutating steps run before validation of the object, validating steps after it, both in the order of the chain
("Admission Control in Kubernetes").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.kube_apiserver.registry.contexts import Context

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(slots=True)
class Attributes:
    """One write. `object` is None for a deletion, `old` None for a creation."""

    context: Context
    operation: str
    resource: Resource
    namespace: str
    name: str
    subresource: str = ""
    object: Object | None = None
    old: Object | None = None
    options: Object = field(default_factory=dict)

    @property
    def qualified(self) -> str:
        """The resource's name with its group, and "/subresource" where there is one."""
        return f"{self.resource.qualified}/{self.subresource}" if self.subresource else self.resource.qualified


class Plugin(Protocol):
    """One step. Either method may do nothing; both refuse by raising StatusError."""

    name: str

    async def mutate(self, attributes: Attributes) -> None:
        """Change `attributes.object` in place."""
        ...

    async def validate(self, attributes: Attributes) -> None:
        """Look, and refuse or not."""
        ...


class Chain:
    """The enabled plugins in their order."""

    def __init__(self) -> None:
        self._mutating: list[Any] = []
        self._validating: list[Any] = []

    def use(self, plugins: Sequence[Any]) -> None:
        """Run these plugins from now on."""
        self._mutating = [p for p in plugins if hasattr(p, "mutate")]
        self._validating = [p for p in plugins if hasattr(p, "validate")]

    async def mutate(self, attributes: Attributes) -> None:
        """Run the mutating steps."""
        for plugin in self._mutating:
            await plugin.mutate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run the validating steps."""
        for plugin in self._validating:
            await plugin.validate(attributes)
