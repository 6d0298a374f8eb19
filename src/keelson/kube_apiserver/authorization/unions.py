"""All authorisers as one: the first that has an opinion decides, and none having one is a refusal.

`system:masters` may do everything whatever the configured modes say ("Authorization").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

MASTERS = "system:masters"


class Verdict(NamedTuple):
    """`allowed` None is no opinion."""

    allowed: bool | None
    reason: str = ""


NO_OPINION = Verdict(None)
ALLOWED = Verdict(True)


class Authorizer(Protocol):
    """One mode."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Whether the user may do this. Answers at once, from what is cached."""
        ...


class AlwaysAllow:
    """The mode AlwaysAllow."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Yes."""
        return ALLOWED


class AlwaysDeny:
    """The mode AlwaysDeny."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """No opinion, which is a refusal where nobody else has one."""
        return Verdict(None, "Everything is forbidden.")


class Union:
    """The configured modes, in their order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """The first opinion."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons = []
        for authorizer in self._authorizers:
            verdict = authorizer.authorize(user, info)
            if verdict.allowed is not None:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(None, ", ".join(reasons))


def refusal(user: User, info: RequestInfo, reason: str = "") -> errors.StatusError:
    """403 in upstream's words."""
    if not info.is_resource:
        return errors.StatusError(
            403, "Forbidden", f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"' + _suffix(reason)
        )
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    why = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}"'
    why += f' in the namespace "{info.namespace}"' if info.namespace else " at the cluster scope"
    return errors.forbidden(info.resource, info.name, why + _suffix(reason), group=info.group)


def _suffix(reason: str) -> str:
    return f": {reason}" if reason else ""
