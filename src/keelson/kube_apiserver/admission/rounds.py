"""The second round of mutation, and what is common to all who change an object in it (KEP-492)."""

from __future__ import annotations

from keelson.api import decoding, defaults, errors
from keelson.api.meta import Object
from keelson.api.schemas import Kind
from keelson.kube_apiserver.registry.catalogues import Served

from .cases import Shown, copied
from .chains import Attributes, Reinvocation


class Rounds:
    """Who of a plugin's webhooks or policies is called again in the second round of one request."""

    def __init__(self) -> None:
        # Called already, and willing to be again.
        self._called: set[str] = set()
        self._due: set[str] = set()
        self._last: Object | None = None

    @classmethod
    def of(cls, attributes: Attributes, plugin: str) -> tuple[Reinvocation, Rounds]:
        """The request's, made where it is the first to ask."""
        again = attributes.reinvocation
        if again is None:
            again = attributes.reinvocation = Reinvocation()
        return again, again.states.setdefault(plugin, cls())

    def snapshot(self, obj: Object | None) -> Object | None:
        """The object as it is now, for a later comparison."""
        return None if obj is None else copied(obj)

    def begin(self, again: Reinvocation, obj: Object | None) -> None:
        """A round begins; where others have changed the object since the last one, all who were called are due."""
        if again.round and obj != self._last:
            self.require()

    def end(self, obj: Object | None) -> None:
        """A round is over."""
        if self._called:
            self._last = self.snapshot(obj)

    def is_due(self, again: Reinvocation, identity: str) -> bool:
        """Whether to call it in this round."""
        return not again.round or identity in self._due

    def require(self) -> None:
        """Something has changed: who was called before is to be called again."""
        self._due |= self._called
        self._called.clear()

    def called(self, identity: str) -> None:
        """It was called, and wants to be again where that is needed."""
        self._called.add(identity)


def conform(served: Served | None, shown: Shown, obj: Object, *, field_validation: str = "Ignore") -> None:
    """Bring a changed object into the shape of its kind, defaults filled in, in place. Raises StatusError 400."""
    resource = shown.resource
    is_own = served is not None and shown.kind.kind == resource.kind
    typed = resource if is_own else Kind(shown.kind.api_version, shown.kind.kind)
    schema = served.schema if is_own and served is not None and served.custom else None
    try:
        decoding.conform(obj, typed, schema=schema, field_validation=field_validation)
    except errors.StatusError as error:
        # What is wrong is told without the words about the client's body, in which it was not.
        _, _, what = error.message.partition(f"cannot be handled as a {typed.kind}: ")
        raise errors.bad_request(what or error.message) from error
    if served is None or not is_own:
        return
    if served.custom:
        defaults.apply_structural(served.schema, obj)
    else:
        defaults.apply(resource, obj)
