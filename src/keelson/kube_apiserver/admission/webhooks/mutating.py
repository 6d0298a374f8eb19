"""MutatingAdmissionWebhook: webhooks that may change the object, one after the other in the order of their names.

Reads MutatingWebhookConfigurations. A change makes the whole mutating chain run once more, so that what the built-in
plugins fill in is filled in for what was added; webhooks take part in that round where their reinvocationPolicy says
so, they have been called before, and something has changed since (KEP-492).
"""

from __future__ import annotations

from typing import Any

import orjson

from keelson.api import errors
from keelson.api.patches import json_patch
from keelson.kube_apiserver.admission import metrics
from keelson.kube_apiserver.admission.cases import Case, Shown, copied
from keelson.kube_apiserver.admission.chains import Attributes
from keelson.kube_apiserver.admission.matching import is_exempt
from keelson.kube_apiserver.admission.rounds import Rounds, conform

from .configured import Configured
from .hooks import Hook

_PREFIX = "mutation.webhook.admission.k8s.io/"
_PATCH_PREFIX = "patch.webhook.admission.k8s.io/"


class MutatingWebhooks(Configured):
    """The plugin."""

    name = "MutatingAdmissionWebhook"
    resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    operation = metrics.MUTATING
    mutates_deletions = True

    async def mutate(self, attributes: Attributes) -> None:
        """Call every webhook that the request matches. Raises StatusError where one refuses or fails."""
        if is_exempt(attributes):
            return
        case = Case(attributes, self._catalogue, self._lookups)
        again, rounds = Rounds.of(attributes, self.name)
        rounds.begin(again, attributes.object)
        try:
            for index, hook in enumerate(self._hooks):
                if not rounds.is_due(again, hook.identity):
                    continue
                shown = await self._caller.matched(case, hook)
                if shown is None:
                    continue
                if await self._called(case, hook, shown, f"round_{again.round}_index_{index}"):
                    rounds.require()
                    again.wanted = True
                if hook.is_reinvoked:
                    rounds.called(hook.identity)
        finally:
            rounds.end(attributes.object)

    async def _called(self, case: Case, hook: Hook, shown: Shown, place: str) -> bool:
        """Whether the webhook changed the object."""
        response = await self._caller.call(case, hook, shown, _PREFIX + place)
        changed = (
            response is not None and response.patch is not None and await self._patched(case, hook, shown, response)
        )
        annotations = case.attributes.context.annotations
        about: dict[str, Any] = {"configuration": hook.configuration, "webhook": hook.name}
        annotations[_PREFIX + place] = orjson.dumps({**about, "mutated": changed}).decode()
        if response is not None and response.patch is not None:
            patch = {**about, "patch": response.patch, "patchType": "JSONPatch"}
            annotations[_PATCH_PREFIX + place] = orjson.dumps(patch).decode()
        return changed

    async def _patched(self, case: Case, hook: Hook, shown: Shown, response: Any) -> bool:
        if shown.object is None:
            why = "attempted to modify the object, which is not supported for this operation"
            raise errors.internal(f'admission webhook "{hook.name}" {why}')
        try:
            # What a patch leaves alone it shares with what it was applied to; what follows changes in place.
            patched = json_patch.apply(shown.object, response.patch)
            if not isinstance(patched, dict):
                raise errors.bad_request("a patch must leave an object")
            patched = copied(patched)
            conform(case.served(shown.resource), shown, patched)
        except errors.StatusError as error:
            # The client's request was in order: what a webhook made of it was not.
            raise errors.internal(_told(error)) from error
        if patched == shown.object:
            return False
        await case.accept(shown, patched)
        return True


def _told(error: errors.StatusError) -> str:
    causes = error.details.get("causes") or ()
    return "; ".join(cause["message"] for cause in causes) or error.message
