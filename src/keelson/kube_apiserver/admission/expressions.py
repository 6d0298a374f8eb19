"""Expressions of webhooks and policies run on a request.

What is cheap is decided at once; what turns out to be dear, or asks the authorizer, is decided anew in a thread, so
that nobody's expression holds up the requests of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.authorization import unions
from keelson.kube_apiserver.authorization.unions import Authorizer
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .cases import Case, Shown

if TYPE_CHECKING:
    from keelson.api.cel.library.authorization import Answer, Question

# Units of cost that are spent on the event loop: some milliseconds.
_TRIAL = 5_000
_ASK_SECONDS = 30.0
_NAMESPACE_METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
)

T = TypeVar("T")


async def decided(function: Callable[[int | None], T]) -> T:
    """What the function decides; it is given a trial's bound for its budgets and called again, in a thread, without."""
    # A server on which nothing is configured must not pay for the language.
    from keelson.api.cel.evaluations import CostlyError

    try:
        return function(_TRIAL)
    except CostlyError:
        return await asyncio.to_thread(function, None)


class Expressions:
    """Makes the variables of a request."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def variables(
        self, case: Case, shown: Shown, *, params: Object | None = None, namespace: Object | None = None
    ) -> dict[str, Any]:
        """All variables that an expression may read, but for `variables`."""
        from keelson.api.cel.library.authorization import AuthorizerValue, Question, ResourceCheck

        loop = asyncio.get_running_loop()
        user = case.attributes.context.user

        def ask(question: Question) -> Answer:
            # Only ever from a thread: a question costs more than a trial may.
            asked = asyncio.run_coroutine_threadsafe(self._ask(user, question), loop)
            return asked.result(_ASK_SECONDS)

        attributes, resource = case.attributes, shown.resource
        question = Question(
            None,
            "",
            group=resource.group,
            resource=resource.plural,
            subresource=attributes.subresource,
            namespace=attributes.namespace,
            name=attributes.name,
        )
        return {
            "object": shown.object,
            "oldObject": shown.old,
            "params": params,
            "request": case.request(shown),
            "namespaceObject": None if namespace is None else _namespace(namespace),
            "authorizer": AuthorizerValue(ask),
            "authorizer.requestResource": ResourceCheck(ask, question),
        }

    async def _ask(self, user: User, question: Question) -> Answer:
        from keelson.api.cel.library.authorization import Answer

        if question.account is not None:
            namespace, name = question.account
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(f"system:serviceaccount:{namespace}:{name}", groups)
        if question.path:
            info = RequestInfo(False, question.verb, question.path)
        else:
            info = RequestInfo(
                True,
                question.verb,
                "",
                question.group,
                "*",
                question.namespace,
                question.resource,
                question.subresource,
                question.name,
                field_selector=question.field_selector,
            )
        verdict = await unions.decided(self._authorizer, user, info)
        return Answer(verdict.allowed is True, verdict.reason)


def _namespace(namespace: Object) -> Object:
    """The part of a Namespace that expressions may read, with moments as such."""
    from keelson.api.cel import values

    metadata = {key: value for key, value in meta.metadata(namespace).items() if key in _NAMESPACE_METADATA}
    for field in ("creationTimestamp", "deletionTimestamp"):
        if isinstance(metadata.get(field), str):
            metadata[field] = values.timestamp(metadata[field])
    found: Object = {"metadata": metadata}
    for part in ("spec", "status"):
        if part in namespace:
            found[part] = namespace[part]
    return found
