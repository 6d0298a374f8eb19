"""Front proxies: another server, known by its certificate, says in headers who asks ("Authenticating Proxy").

The headers are believed only from a certificate of the front proxies' CA with an allowed name; from anybody else they
are as if they were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from .certificates import Authorities, is_for_clients


@dataclass(frozen=True, slots=True)
class Headers:
    """Names of the headers; extra ones begin with a prefix."""

    users: Sequence[str]
    groups: Sequence[str]
    uids: Sequence[str]
    extra_prefixes: Sequence[str]


class FrontProxies:
    """The authenticator of requests that come through a front proxy."""

    def __init__(self, authorities: Authorities, allowed_names: Sequence[str], headers: Headers) -> None:
        self._authorities = authorities
        self._allowed = frozenset(allowed_names)
        self._headers = headers

    def trusts(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate is one of the proxies' CA, whatever its name."""
        return self._authorities.issued(certificate) and is_for_clients(certificate)

    async def authenticate(self, request: Request) -> User | None:
        """Whom the proxy speaks for, None where the other end is no front proxy."""
        certificate = request.certificate
        user = self._first(request, self._headers.users) if certificate is not None else ""
        if certificate is None or not user or not self.trusts(certificate):
            return None
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if self._allowed and (not names or names[0].value not in self._allowed):
            return None
        groups = [value for name in self._headers.groups for value in request.lines(name.lower()) if value]
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self._headers.extra_prefixes:
            for name in request.headers:
                if name.startswith(prefix.lower()):
                    key = unquote(name[len(prefix) :])
                    extra[key] = (*extra.get(key, ()), *request.lines(name))
        return User(user, tuple(groups), self._first(request, self._headers.uids), extra)

    def _first(self, request: Request, names: Sequence[str]) -> str:
        for name in names:
            for value in request.lines(name.lower())[:1]:
                if value:
                    return value
        return ""
