"""ValidatingAdmissionWebhook: webhooks that may refuse, called at the same time with the object as it will be stored.

Reads ValidatingWebhookConfigurations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keelson.kube_apiserver.admission import metrics
from keelson.kube_apiserver.admission.cases import Case, Shown
from keelson.kube_apiserver.admission.chains import Attributes
from keelson.kube_apiserver.admission.expressions import Expressions
from keelson.kube_apiserver.admission.lookups import Lookups
from keelson.kube_apiserver.admission.matching import is_exempt
from keelson.kube_apiserver.admission.sources import Source
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.webhooks.clients import Clients
from keelson.kube_apiserver.webhooks.credentials import ANONYMOUS, Credentials

from . import hooks
from .calls import Caller
from .hooks import Hook

_RESOURCE = "validatingwebhookconfigurations.admissionregistration.k8s.io"
_PREFIX = "validating.webhook.admission.k8s.io/"


class ValidatingWebhooks:
    """The plugin."""

    name = "ValidatingAdmissionWebhook"

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
        self._caller = Caller(clients, expressions, metrics.VALIDATING, credentials)
        self._source: Source[list[Hook]] = Source(catalogue, objects, _RESOURCE, hooks.of)
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

    async def validate(self, attributes: Attributes) -> None:
        """Call every webhook that the request matches. Raises the first refusal or failure, in their order."""
        if is_exempt(attributes):
            return
        case = Case(attributes, self._catalogue, self._lookups)
        due: list[tuple[Hook, Shown]] = []
        for hook in self._hooks:
            shown = await self._caller.matched(case, hook)
            if shown is not None:
                due.append((hook, shown))
        if not due:
            return
        calls = (
            self._caller.call(case, hook, shown, f"{_PREFIX}round_0_index_{index}")
            for index, (hook, shown) in enumerate(due)
        )
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
