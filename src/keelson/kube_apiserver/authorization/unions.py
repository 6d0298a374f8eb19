"""All authorisers as one: the first that has an opinion decides, and none having one is a refusal.

`system:masters` may do everything whatever the configured modes say ("Authorization").
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .attempts import Attempts, Decisions

MASTERS = "system:masters"


class Verdict(NamedTuple):
    """`allowed` None is no opinion; `failed` says that somebody who might have had one could not be asked."""

    allowed: bool | None
    reason: str = ""
    failed: bool = False


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


class Configured(NamedTuple):
    """One of the configured authorizers, and where its decisions are counted."""

    authorizer: Authorizer
    decisions: Decisions


class Union:
    """The configured modes, in their order."""

    def __init__(self, authorizers: Sequence[Configured], attempts: Attempts) -> None:
        self._authorizers = authorizers
        self._privileged = attempts.privileged

    def use(self, authorizers: Sequence[Configured]) -> None:
        """Ask these from now on."""
        self._authorizers = authorizers

    def authorize(self, user: User, info: RequestInfo) -> Answer:
        """The first opinion."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons: list[str] = []
        failed = False
        following = iter(self._authorizers)
        for authorizer, decisions in following:
            verdict = authorizer.authorize(user, info)
            if not isinstance(verdict, Verdict):
                return self._rest(verdict, decisions, following, reasons, user, info, failed=failed)
            if verdict.allowed is not None:
                return _counted(verdict, decisions)
            failed = failed or verdict.failed
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(None, ", ".join(reasons), failed)

    async def _rest(
        self,
        asked: Awaitable[Verdict],
        decisions: Decisions,
        following: Iterator[Configured],
        reasons: list[str],
        user: User,
        info: RequestInfo,
        *,
        failed: bool,
    ) -> Verdict:
        """`authorize`, from the first authorizer on that has to be waited for."""
        verdict = await asked
        while verdict.allowed is None:
            failed = failed or verdict.failed
            if verdict.reason:
                reasons.append(verdict.reason)
            found = next(following, None)
            if found is None:
                return Verdict(None, ", ".join(reasons), failed)
            decisions = found.decisions
            verdict = await decided(found.authorizer, user, info)
        return _counted(verdict, decisions)

    def granting(self, user: User, info: RequestInfo) -> Decisions | None:
        """Whose decision it is that `info`, which names no object that can be, is allowed because any name would be.

        None where it is not: never where a mode is asked before that might refuse some names (one that is not
        `Additive`).
        """
        if MASTERS in user.groups:
            return self._privileged
        for authorizer, decisions in self._authorizers:
            if not isinstance(authorizer, Additive):
                return None
            if authorizer.allows_any_name(user, info):
                return decisions
        return None


def _counted(verdict: Verdict, decisions: Decisions) -> Verdict:
    if verdict.allowed:
        decisions.allowed += 1
    else:
        decisions.denied += 1
    return verdict


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
