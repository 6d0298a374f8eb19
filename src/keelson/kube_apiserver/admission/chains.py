"""The chain of admission plugins and what each of them is shown.

Mutating steps run before validation of the object, validating steps after it, both in the order of the chain
("Admission Control in Kubernetes").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.kube_apiserver.registry.contexts import Context

from .durations import ADMIT, QUICK_SECONDS, VALIDATE, Duration, Durations

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


Step = Callable[[Attributes], Awaitable[None]]


class Chain:
    """The enabled plugins in their order.

    A plugin has a `name`, and `mutate`, which changes `Attributes.object` in place, or `validate`, which only looks, or
    both; either refuses by raising StatusError.

    A plugin with a property `active` is left out while that is false, so that what is not configured costs nothing; it
    calls the function that it is given as `on_activity` when that changes. One with `mutates_deletions` sees deletions
    in `mutate` too, one with `subjects` (plural and group) only what is of these: an object of another resource is not
    kept by a dozen plugins that do nothing with it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` tells seconds, for metrics."""
        self._clock = clock
        self.durations = Durations()
        self._plugins: Sequence[Any] = ()
        # The resources that some plugins are for; all others are the same to them.
        self._subjects: frozenset[str] = frozenset()
        # By kind of step, operation and resource: the steps, each with where its time is noted.
        self._steps: dict[tuple[str, str, str], list[tuple[Step, Duration]]] = {}

    def use(self, plugins: Sequence[Any]) -> None:
        """Run these plugins from now on."""
        self._plugins = plugins
        self._subjects = frozenset[str]().union(*[getattr(plugin, "subjects", ()) for plugin in plugins])
        self._steps.clear()
        for plugin in plugins:
            if hasattr(plugin, "active"):
                plugin.on_activity = self._steps.clear

    def _chosen(self, kind: str, operation: str, resource: str) -> list[tuple[Step, Duration]]:
        """The steps of a kind, as long as no plugin becomes active or inactive."""
        resource = resource if resource in self._subjects else ""
        found = self._steps.get((kind, operation, resource))
        if found is None:
            method = "mutate" if kind == ADMIT else "validate"
            found = self._steps[kind, operation, resource] = [
                (getattr(plugin, method), self.durations.of(plugin.name, kind, operation))
                for plugin in self._plugins
                if getattr(plugin, "active", True)
                and hasattr(plugin, method)
                and resource in getattr(plugin, "subjects", (resource,))
                and (kind != ADMIT or operation != DELETE or getattr(plugin, "mutates_deletions", False))
            ]
        return found

    async def _run(self, kind: str, attributes: Attributes) -> None:
        operation = attributes.operation
        clock = self._clock
        began = then = clock()
        for step, duration in self._chosen(kind, operation, attributes.resource.qualified):
            try:
                await step(attributes)
            except BaseException:
                now = clock()
                duration.rejected.note(now - then)
                self.durations.step(kind, operation).rejected.note(now - began)
                raise
            now = clock()
            seconds = now - then
            if seconds <= QUICK_SECONDS:
                # Nearly all of them, and there are some thirty steps: no call is made to note it.
                duration.quick += 1
                duration.quick_seconds += seconds
            else:
                duration.passed.note(seconds)
                attributes.context.done(f"Admission plugin {duration.name} done")
            if duration.remote:
                attributes.context.waited += seconds
            then = now
        self.durations.step(kind, operation).passed.note(then - began)

    async def mutate(self, attributes: Attributes) -> None:
        """Run the mutating steps, all of them once more where one has changed what an earlier one has seen."""
        await self._run(ADMIT, attributes)
        again = attributes.reinvocation
        if again is not None and again.wanted:
            again.round = 1
            await self._run(ADMIT, attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run the validating steps."""
        await self._run(VALIDATE, attributes)

    async def delete(self, attributes: Attributes) -> None:
        """Run every step that has a say in a deletion."""
        await self._run(ADMIT, attributes)
        await self._run(VALIDATE, attributes)
