"""What both policy plugins are made of: the policies in force, as their objects and bindings have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from keelson.kube_apiserver.admission.expressions import Expressions
from keelson.kube_apiserver.admission.lookups import Lookups
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

from .matches import InForce


class Configured:
    """A plugin that is active while a policy is in force."""

    resources: ClassVar[tuple[str, str]]
    """Its policies and their bindings: plural and group."""

    def __init__(self, catalogue: Catalogue, objects: Objects, lookups: Lookups, found: Expressions) -> None:
        self._catalogue = catalogue
        self._lookups = lookups
        self._expressions = found
        self._in_force = InForce(catalogue, objects, *self.resources)
        self._in_force.on_change = lambda: self.on_activity()
        self.sources = self._in_force.sources
        self.on_activity: Callable[[], None] = lambda: None

    @property
    def active(self) -> bool:
        """Whether any policy is in force."""
        return bool(self._in_force)
