"""What both webhook plugins are made of: the hooks that configurations name, compiled when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from keelson.kube_apiserver.admission.expressions import Expressions
from keelson.kube_apiserver.admission.lookups import Lookups
from keelson.kube_apiserver.admission.sources import Source
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.webhooks.clients import Clients
from keelson.kube_apiserver.webhooks.credentials import ANONYMOUS, Credentials

from . import hooks
from .calls import Caller
from .hooks import Hook


class Configured:
    """A plugin that is active while a configuration has a webhook."""

    resource: ClassVar[str]
    """What its configurations are: plural and group."""
    operation: ClassVar[str]
    """Its part of admission, as metrics name it."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        lookups: Lookups,
        expressions: Expressions,
        clients: Clients,
        credentials: Credentials = ANONYMOUS,
    ) -> None:
        self._catalogue = catalogue
        self._lookups = lookups
        self._caller = Caller(clients, expressions, self.operation, credentials)
        self._source: Source[list[Hook]] = Source(catalogue, objects, self.resource, hooks.of)
        self._source.on_change = self._reload
        self.sources = [self._source]
        self._hooks: list[Hook] = []
        self.active = False
        self.on_activity: Callable[[], None] = lambda: None

    def _reload(self) -> None:
        self._hooks = [hook for configuration in self._source.found for hook in configuration]
        if self.active != bool(self._hooks):
            self.active = bool(self._hooks)
            self.on_activity()
