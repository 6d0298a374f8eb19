"""ValidatingAdmissionWebhook: webhooks that may refuse, called at the same time with the object as it will be stored.

Reads ValidatingWebhookConfigurations.
"""

from __future__ import annotations

import asyncio

from keelson.kube_apiserver.admission import metrics
from keelson.kube_apiserver.admission.cases import Case, Shown
from keelson.kube_apiserver.admission.chains import Attributes
from keelson.kube_apiserver.admission.matching import is_exempt

from .configured import Configured
from .hooks import Hook

_PREFIX = "validating.webhook.admission.k8s.io/"


class ValidatingWebhooks(Configured):
    """The plugin."""

    name = "ValidatingAdmissionWebhook"
    resource = "validatingwebhookconfigurations.admissionregistration.k8s.io"
    operation = metrics.VALIDATING

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
