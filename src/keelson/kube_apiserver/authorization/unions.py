"""All authorisers as one: the first that has an opinion decides, and none having one is a refusal.

`system:masters` may do everything whatever the configured modes say ("Authorization").
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

MASTERS = "system:masters"


class Verdict(NamedTuple):
    """`allowed` None is no opinion."""

    allowed: bool | None
    reason: str = ""


Answer = Verdict | Awaitable[Verdict]

NO_OPINION = Verdict(None)
ALLOWED = Verdict(True)


class Authorizer(Protocol):
    """One mode."""

    def authorize(self, user: User, info: RequestInfo) -> Answer:
        """Whether the user may do this: at once from what is cached, or to be awaited where others must be asked."""
        ...


@runtime_checkable
class Additive(Authorizer, Protocol):
    """A mode that has permissions to give and none to deny."""

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Whether it allows this for objects of every name; the name in `info` is none that an object can have."""
        ...


class AlwaysAllow:
    """The mode AlwaysAllow."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Yes."""
        return ALLOWED

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Yes."""
        return True


class AlwaysDeny:
    """The mode AlwaysDeny."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """No opinion, which is a refusal where nobody else has one."""
        return Verdict(None, "Everything is forbidden.")

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Nothing is."""
        return False


class Union:
    """The configured modes, in their order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    def use(self, authorizers: Sequence[Authorizer]) -> None:
        """Ask these from now on."""
        self._authorizers = authorizers

    def authorize(self, user: User, info: RequestInfo) -> Answer:
        """The first opinion."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons: list[str] = []
        following = iter(self._authorizers)
        for authorizer in following:
            verdict = authorizer.authorize(user, info)
            if not isinstance(verdict, Verdict):
                return self._rest(verdict, following, reasons, user, info)
            if verdict.allowed is not None:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(None, ", ".join(reasons))

    async def _rest(
        self,
        asked: Awaitable[Verdict],
        following: Iterator[Authorizer],
        reasons: list[str],
        user: User,
        info: RequestInfo,
    ) -> Verdict:
        """`authorize`, from the first authorizer on that has to be waited for."""
        verdict = await asked
        while verdict.allowed is None:
            if verdict.reason:
                reasons.append(verdict.reason)
            authorizer = next(following, None)
            if authorizer is None:
                return Verdict(None, ", ".join(reasons))
            verdict = await decided(authorizer, user, info)
        return verdict

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Whether `info`, which names no object that can be, is allowed because any name would be.

        Never where a mode is asked before that might refuse some names (one that is not `Additive`).
        """
        if MASTERS in user.groups:
            return True
        for authorizer in self._authorizers:
            if not isinstance(authorizer, Additive):
                return False
            if authorizer.allows_any_name(user, info):
                return True
        return False


async def decided(authorizer: Authorizer, user: User, info: RequestInfo) -> Verdict:
    """What an authorizer says, waited for where it has to ask others."""
    answer = authorizer.authorize(user, info)
    return answer if isinstance(answer, Verdict) else await answer


class RefusalError(errors.StatusError):
    """What is refused because of who asks, before anybody looks at what it is for."""

    def status(self) -> dict[str, Any]:
        """The Status; a 403 has details also where they are empty, as upstream's."""
        return {**super().status(), "details": self.details} if self.code == 403 else super().status()


def refusal(user: User, info: RequestInfo, reason: str = "") -> RefusalError:
    """403 in upstream's words."""
    if not info.is_resource:
        return RefusalError(
            403, "Forbidden", f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"' + _suffix(reason)
        )
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    why = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}"'
    why += f' in the namespace "{info.namespace}"' if info.namespace else " at the cluster scope"
    found = errors.forbidden(info.resource, info.name, why + _suffix(reason), group=info.group)
    return RefusalError(found.code, found.reason, found.message, found.details)


def _suffix(reason: str) -> str:
    return f": {reason}" if reason else ""
