"""Objects that configure admission, kept compiled: read from the server's own cache, made anew when one changes.

A configuration is in force as soon as the cache has it; nobody asks for it again on a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Change
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

log = logging.getLogger(__name__)

T = TypeVar("T")


class Source(Generic[T]):
    """All objects of one resource by name, each as `compile` makes it. `on_change` is called after each change."""

    def __init__(self, catalogue: Catalogue, objects: Objects, qualified: str, compile_: Callable[[Object], T]) -> None:
        self._served = catalogue.named(qualified)
        self._collection = catalogue.collection(self._served)
        self._objects = objects
        self._compile = compile_
        self._revisions: dict[str, int] = {}
        self._made: dict[str, T] = {}
        # In the order of names, which is the order in which they apply.
        self.found: list[T] = []
        self.on_change: Callable[[], None] = lambda: None
        self._collection.observers.append(self._changed)

    @property
    def prefix(self) -> str:
        """Where in the store the objects lie."""
        return self._served.prefix

    def _changed(self, _changes: list[Change] | None) -> None:
        items = self._collection.items
        for key in [key for key in self._revisions if key not in items]:
            del self._revisions[key]
            self._made.pop(key, None)
        for key, item in items.items():
            if self._revisions.get(key) != item.revision:
                self._revisions[key] = item.revision
                try:
                    self._made[key] = self._compile(self._objects.object(self._served, item))
                except (LookupError, TypeError, ValueError, AttributeError):
                    # Bytes that no API server of today would have stored; the others must not fall with them.
                    self._made.pop(key, None)
                    log.exception("%s is no configuration of admission and is left out", key)
        self.found = [self._made[key] for key in sorted(self._made)]
        self.on_change()
