"""All authenticators as one: the first that accepts the credentials decides.

Credentials that are there and wrong refuse the request even where anonymous requests are allowed, so that nobody falls
back to less than he asked for ("Authenticating").
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import ANONYMOUS, User
from keelson.kube_apiserver.serving.messages import Request

from .attempts import ERROR, FAILURE, SUCCESS, Attempts
from .certificates import Certificates
from .credentials import Credential
from .front_proxies import FrontProxies
from .tokens import bearer

log = logging.getLogger(__name__)

AUTHENTICATED = "system:authenticated"


class UnknownError(errors.StatusError):
    """401 for whoever shows nothing that would say who he is."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthorized", "Unauthorized")


class Authenticator(Protocol):
    """One kind of credential."""

    async def authenticate(self, request: Request) -> User | None:
        """The user, None where the request carries no credential of this kind. Raises StatusError 401."""
        ...


@runtime_checkable
class Remembering(Authenticator, Protocol):
    """An authenticator whose verdict holds as long as a connection lasts and its grounds are as they were."""

    def credential(self, request: Request, user: User) -> Credential | None:
        """What to keep of the verdict `user` on this request, None where it must be given anew every time."""
        ...


class Union:
    """The authenticators in their order, then anonymous where `anonymous` lets the path through."""

    def __init__(self, authenticators: Sequence[Authenticator], anonymous: Callable[[str], bool]) -> None:
        self._authenticators = authenticators
        self._anonymous = anonymous
        self.attempts = Attempts()
        self._proxies = [each for each in authenticators if isinstance(each, FrontProxies)]

    async def authenticate(self, request: Request) -> User:
        """The user of the request. Raises StatusError 401."""
        connection = request.connection
        if connection is not None and connection.credential is not None:
            kept: Credential = connection.credential
            if kept.header == request.headers.get("authorization", "") and kept.holds():
                kept.repeats.times += 1
                return kept.user
            connection.credential = None
        began = time.perf_counter()
        try:
            user = await self._judged(request)
        except errors.StatusError as error:
            self.attempts.note(FAILURE if isinstance(error, UnknownError) else ERROR, time.perf_counter() - began)
            raise
        self.attempts.note(SUCCESS, time.perf_counter() - began, user.name)
        return user

    async def _judged(self, request: Request) -> User:
        """The user, by credentials that nothing is known of yet. Raises StatusError 401."""
        refused: errors.StatusError | None = None
        for authenticator in self._authenticators:
            if isinstance(authenticator, Certificates) and request.certificate is not None:
                self.attempts.certificate(request.certificate.not_valid_after_utc.timestamp())
            try:
                user = await authenticator.authenticate(request)
            except errors.StatusError as error:
                # Another one may know these credentials, or others that the request has.
                refused = error
                continue
            if user is not None:
                user = authenticated(user)
                if isinstance(authenticator, Remembering) and not self._proxied(request):
                    self._keep(request, user, authenticator)
                return user
        if refused is not None:
            log.info("a request for %s is refused: %s", request.path, getattr(refused, "why", refused.message))
            raise refused
        if bearer(request):
            raise errors.unauthorized()
        # Another scheme than a bearer's, or no token, is no credential at all, and nobody falls back from it.
        if self._anonymous(request.path):
            return ANONYMOUS
        raise UnknownError

    def _keep(self, request: Request, user: User, authenticator: Remembering) -> None:
        """Remember the verdict with the request's connection."""
        if request.connection is None:
            return
        credential = authenticator.credential(request, user)
        if credential is not None:
            certificate = request.certificate if isinstance(authenticator, Certificates) else None
            ends = 0.0 if certificate is None else certificate.not_valid_after_utc.timestamp()
            credential.repeats = self.attempts.repeats(user.name, ends)
        request.connection.credential = credential

    def _proxied(self, request: Request) -> bool:
        """Whether the other end may speak for others: each of its requests says for whom."""
        certificate = request.certificate
        return certificate is not None and any(proxy.trusts(certificate) for proxy in self._proxies)


def authenticated(user: User) -> User:
    """The user in the group of all who are known."""
    if AUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


# From a token and the audiences that are asked for to whose it is and for which of them, None where it is unknown.
TokenReader = Callable[[str, Sequence[str]], Awaitable["tuple[User, list[str]] | None"]]
