"""Bearer tokens that another server knows: it is asked by a TokenReview, and its answer believed for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from keelson.api.errors import StatusError
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.remote_reviews import Reviewer
from keelson.kube_apiserver.serving.messages import Request

from .credentials import RefusedError
from .tokens import bearer

log = logging.getLogger(__name__)

_REMEMBERED = 10_000

_Known = tuple[float, "User | None", tuple[str, ...], str]


class TokenWebhook:
    """The authenticator that asks. It comes last: every token that nobody else knows is shown to the other server."""

    def __init__(self, reviewer: Reviewer, *, seconds: float, audiences: Sequence[str]) -> None:
        """Answers are believed for `seconds`; `audiences` are those of this server."""
        self.reviewer = reviewer
        self._seconds = seconds
        self._audiences = tuple(audiences)
        self._known: Recent[tuple[str, tuple[str, ...]], _Known] = Recent(_REMEMBERED, seconds)

    async def authenticate(self, request: Request) -> User | None:
        """The user of the bearer token, None where there is none or the other server does not know it."""
        token = bearer(request)
        if not token:
            return None
        found = await self.read(token, self._audiences)
        return None if found is None else found[0]

    async def read(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        """(the user, those of `audiences` that the token is for). Raises RefusedError with what the webhook says."""
        wanted = tuple(audiences)
        known = self._known.get((token, wanted))
        if known is None or known[0] < time.monotonic():
            known = await self._ask(token, wanted)
        _, user, common, why = known
        if why:
            raise RefusedError(why)
        return None if user is None else (user, list(common))

    async def _ask(self, token: str, audiences: tuple[str, ...]) -> _Known:
        spec: dict[str, object] = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        try:
            status = await self.reviewer.ask(spec)
        except StatusError as error:
            log.warning("the token webhook can't be asked: %s", error)
            raise RefusedError(str(error)) from error
        user: User | None = None
        common: tuple[str, ...] = ()
        if status.get("authenticated"):
            # A webhook that says nothing of audiences knows none but this server's.
            stated = status.get("audiences") or self._audiences
            common = tuple(each for each in audiences if each in stated)
            if common or not audiences:
                info = status.get("user") or {}
                extra = {key: tuple(values or ()) for key, values in (info.get("extra") or {}).items()}
                user = User(info.get("username") or "", tuple(info.get("groups") or ()), info.get("uid") or "", extra)
        known: _Known = (time.monotonic() + self._seconds, user, common, str(status.get("error") or ""))
        if self._seconds:
            self._known[token, audiences] = known
        return known
