"""Which verbs a subresource has."""

from __future__ import annotations

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import Context


def only(context: Context, *verbs: str) -> None:
    """Refuse other verbs. Raises StatusError 405."""
    if context.info.verb not in verbs:
        raise errors.method_not_allowed(context.info.verb, f"{context.info.resource}/{context.info.subresource}")
