"""All authenticators as one: the first that knows the credentials decides.

Credentials that are there and wrong refuse the request even where anonymous requests are allowed, so that nobody falls
back to less than he asked for ("Authenticating").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from keelson.api import errors
from keelson.kube_apiserver.registry.contexts import ANONYMOUS, User
from keelson.kube_apiserver.serving.messages import Request

AUTHENTICATED = "system:authenticated"


class Authenticator(Protocol):
    """One kind of credential."""

    async def authenticate(self, request: Request) -> User | None:
        """The user, None where the request carries no credential of this kind. Raises StatusError 401."""
        ...


class Union:
    """The authenticators in their order, then anonymous where `anonymous` lets the path through."""

    def __init__(self, authenticators: Sequence[Authenticator], anonymous: Callable[[str], bool]) -> None:
        self._authenticators = authenticators
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> User:
        """The user of the request. Raises StatusError 401."""
        for authenticator in self._authenticators:
            user = await authenticator.authenticate(request)
            if user is not None:
                return authenticated(user)
        if "authorization" not in request.headers and self._anonymous(request.path):
            return ANONYMOUS
        raise errors.unauthorized()


def authenticated(user: User) -> User:
    """The user in the group of all who are known."""
    if AUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


# From a token and the audiences that are asked for to whose it is and for which of them, None where it is unknown.
TokenReader = Callable[[str, Sequence[str]], Awaitable["tuple[User, list[str]] | None"]]
