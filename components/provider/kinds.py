"""What a kind of custom resource is: the operations the engine asks for, in plain values.

One module a kind. A kind never sees the wire and never prints: it gets a `Context` for progress and for the state that
resources of one run share, and it raises `ResourceError` with one sentence that names the host or key concerned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from components.provider.property_values import UNKNOWN, Path, Properties, differences

Values = dict[str, Any]


class ResourceError(Exception):
    """What went wrong with a resource, in one sentence for the operator; shown by the engine beside the resource."""


class PartialError(ResourceError):
    """A create or update that failed after something exists: the engine records it, so that destroy removes it."""

    def __init__(self, message: str, *, identifier: str, outputs: Values) -> None:
        super().__init__(message)
        self.identifier = identifier
        self.outputs = outputs


class Reporter(Protocol):
    """Where progress goes: lines that the engine shows beside the resource."""

    def status(self, message: str) -> None:
        """Replace the resource's status line."""

    def info(self, message: str) -> None:
        """Leave a line that stays in the log."""

    def warning(self, message: str) -> None:
        """Leave a line that is counted and repeated at the end."""


class Shared:
    """What the resources of one run have in common: the locks that keep two members of a role from stopping at once."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self.cancelled = asyncio.Event()
        self.failed = asyncio.Event()

    def gives_up(self) -> bool:
        """Whether waiting for another resource makes no sense any more: one failed, or the operator wants to stop."""
        return self.cancelled.is_set() or self.failed.is_set()

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of that name, made at first use."""
        return self._locks.setdefault(name, asyncio.Lock())


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation is about: the resource's URN and name, where to report, and whether it is a preview."""

    urn: str
    report: Reporter
    shared: Shared
    preview: bool = False

    @property
    def name(self) -> str:
        """The resource's name, the last part of its URN."""
        return self.urn.rsplit("::", 1)[-1]


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that cannot be: `key` is the property, `reason` says what to do about it."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `kind` is "add", "delete" or "update"; `replace` makes it a replacement.

    `against_inputs` says which old value the engine shows: that of the inputs, or (for drift) that of the outputs.
    """

    path: Path
    kind: str = "update"
    replace: bool = False
    against_inputs: bool = True


@dataclass(frozen=True, slots=True)
class Created:
    """A resource that exists: its id and outputs."""

    identifier: str
    outputs: Values


@dataclass(frozen=True, slots=True)
class Found:
    """What a read saw. `inputs` as a check of the same values would give them."""

    inputs: Values
    outputs: Values


class Kind:
    """A kind of custom resource. The defaults suit one whose every input is immutable and whose read sees no drift."""

    type_name: ClassVar[str]
    """The type token, `keelson:index:<Name>`."""
    updatable: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change is an update; that of any other replaces the resource."""
    ignored: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change alone changes nothing in the world."""
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are secret whatever the inputs were."""
    computed_outputs: ClassVar[tuple[str, ...]] = ()
    """Outputs that only a create can tell; a preview shows them as unknown."""
    delete_before_replace: ClassVar[bool] = True

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """Validate, and complete, the inputs. They may hold `UNKNOWN`."""
        del context
        return inputs.values, []

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """Say what differs between what is (`outputs`, made from `old_inputs`) and what is wanted."""
        del context, outputs
        return [
            Change(path, kind, replace=path[0] not in self.updatable)
            for path, kind in differences(old_inputs, new_inputs)
            if path[0] not in self.ignored
        ]

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make it. Must be idempotent: a killed run's create is done again."""
        raise NotImplementedError

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        """See how it is now; None when it is gone."""
        del context, identifier
        return Found(inputs, outputs)

    def previewed(self, inputs: Values, outputs: Values | None) -> Values:
        """The outputs a preview can promise: of a create when `outputs` is None, else of an update of `outputs`."""
        if outputs is not None:
            return {**outputs, **inputs}
        return {**inputs, **dict.fromkeys(self.computed_outputs, UNKNOWN)}

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Make it as `inputs` say; gives the new outputs."""
        raise NotImplementedError

    async def delete(self, context: Context, identifier: str, outputs: Values) -> None:
        """Remove it; nothing to do if it is gone."""
        del context, identifier, outputs


@dataclass(frozen=True, slots=True)
class Registry:
    """The kinds by token."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def of(self, urn: str) -> Kind:
        """The kind of a URN's resource. Raises `ResourceError` for one that this plugin does not have."""
        token = urn.split("::")[-2].rsplit("$", 1)[-1]
        if token not in self.kinds:
            raise ResourceError(f"{token} is not a kind of resource of this plugin; have {', '.join(self.kinds)}")
        return self.kinds[token]
