"""What an authenticator found, kept with the connection: verifying the same header at every request is most of a read.

A credential holds as long as everything that the verdict rested on is as it was: time, and the very items of the cache
that were looked at. Where it does not hold any more, the request is authenticated anew, so nothing is believed longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time
from typing import NamedTuple

from keelson.api import errors
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.registry.contexts import User

from .attempts import Repeats


class Ground(NamedTuple):
    """An object that a verdict rests on: `item` is what `collection` had at `key` when it was given."""

    collection: Collection
    key: str
    item: Item


# The ground that an object of (resource, namespace, name) is, None where the cache has no such object.
Find = Callable[[str, str, str], Ground | None]


class RefusedError(errors.StatusError):
    """401 whose reason is for logs and reviews; whoever sent the token learns nothing of it."""

    def __init__(self, why: str) -> None:
        super().__init__(401, "Unauthorized", "Unauthorized")
        self.why = why


class Credential:
    """Whom requests with this Authorization header, on this connection, speak for."""

    __slots__ = ("_begins", "_ends", "_grounds", "header", "repeats", "user")

    def __init__(
        self,
        user: User,
        header: str,
        *,
        begins: float = 0.0,
        ends: float = float("inf"),
        grounds: Sequence[Ground] = (),
    ) -> None:
        """`begins` and `ends` are seconds since the epoch."""
        self.user = user
        self.header = header
        # Counts how often the verdict is given again.
        self.repeats = Repeats(0)
        self._begins = begins
        self._ends = ends
        self._grounds = tuple(grounds)

    def holds(self) -> bool:
        """Whether the verdict would be the same now."""
        for collection, key, item in self._grounds:
            if collection.items.get(key) is not item:
                return False
        return self._begins <= time() < self._ends
