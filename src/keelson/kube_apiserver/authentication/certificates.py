"""Client certificates: the common name is the user, the organisations are the groups (RFC 5280 subjects).

The TLS handshake verifies the chain against all CAs of the listener together; which of them issued the certificate
decides whether it speaks for itself (the client CA) or may speak for others (the front proxy's CA).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keelson.api import errors
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

from .credentials import Credential

_REMEMBERED = 4096
_SHA256 = hashes.SHA256()
# Kubernetes' own attribute for the UID of a user (AllowParsingUserUIDFromCertAuth).
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


class Authorities:
    """The CAs of a file, read again when the file changes."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int] | None = None
        self._certificates: list[x509.Certificate] = []

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The CAs as the file has them now."""
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._certificates = x509.load_pem_x509_certificates(self._path.read_bytes())
            self._stamp = stamp
        return self._certificates

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of the CAs signed this certificate."""
        for authority in self.certificates:
            try:
                certificate.verify_directly_issued_by(authority)
            except (ValueError, TypeError, exceptions.InvalidSignature):
                continue
            return True
        return False


def is_for_clients(certificate: x509.Certificate) -> bool:
    """Whether its extended key usage allows client authentication."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        # RFC 5280, 4.2.1.12: without the extension it is for any purpose.
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


class Certificates:
    """The authenticator of client certificates. Verdicts are remembered; validity in time is asked every time."""

    def __init__(self, authorities: Authorities, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._authorities = authorities
        self._now = now
        self._known: Recent[bytes, tuple[User | None, datetime, datetime]] = Recent(_REMEMBERED)

    async def authenticate(self, request: Request) -> User | None:
        """The certificate's subject, None where there is no certificate, or one that names nobody.

        Raises StatusError 401 for a certificate that this CA has not issued, or not for clients: another authenticator
        may know who comes, but nobody is anonymous with a certificate that is not believed.
        """
        certificate = request.certificate
        if certificate is None:
            return None
        key = certificate.fingerprint(_SHA256)
        known = self._known.get(key)
        if known is None:
            user = self._user(certificate)
            known = (user, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
            self._known[key] = known
        user, begins, ends = known
        if user is None:
            raise errors.unauthorized()
        if not begins <= self._now() <= ends:
            raise errors.unauthorized()
        return user if user.name else None

    def forget(self) -> None:
        """Judge every certificate anew: the authorities may be others."""
        self._known.clear()

    def credential(self, request: Request, user: User) -> Credential | None:
        """The verdict until the certificate ends: it is the connection's own."""
        certificate = request.certificate
        if certificate is None:
            return None
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        return Credential(user, request.headers.get("authorization", ""), begins=begins, ends=ends)

    def _user(self, certificate: x509.Certificate) -> User | None:
        """The subject, whose name may be "", and None for a certificate that is not believed."""
        if not self._authorities.issued(certificate) or not is_for_clients(certificate):
            return None
        subject = certificate.subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        uids = subject.get_attributes_for_oid(_UID)
        if len(uids) > 1 or any(not uid.value for uid in uids):
            return None
        digest = certificate.fingerprint(_SHA256).hex()
        extra = {"authentication.kubernetes.io/credential-id": (f"X509SHA256={digest}",)}
        # Of several names the last counts, as for upstream.
        name = str(names[-1].value) if names else ""
        return User(name, tuple(str(group.value) for group in groups), str(uids[0].value) if uids else "", extra)
