"""Whom a client certificate names, and which ones nobody believes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keelson.api.errors import StatusError
from keelson.kube_apiserver.authentication.certificates import Authorities, Certificates
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request

UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741 - so the attribute is called
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Issuer:
    """A CA that certifies whatever it is asked to."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(CN, "ca")])

    def issue(
        self, *subject: tuple[x509.ObjectIdentifier, str], usages: Sequence[x509.ObjectIdentifier] = (CLIENT,)
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in subject]))
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @property
    def certificate(self) -> bytes:
        return self.issue((CN, "ca"), usages=()).public_bytes(Encoding.PEM)


async def authenticated(tmp_path: Path, certificate: x509.Certificate | None, trusted: bytes) -> User | None:
    path = tmp_path / "ca.crt"
    path.write_bytes(trusted)
    connection: Any = SimpleNamespace(certificate=certificate, remote="192.0.2.1")
    return await Certificates(Authorities(str(path))).authenticate(Request("GET", "/", {}, b"", connection))


async def test_the_subject_is_the_user(tmp_path: Path) -> None:
    ca = Issuer()
    certificate = ca.issue((O, "a"), (O, "b"), (CN, "eve"), (UID, "7"))
    user = await authenticated(tmp_path, certificate, ca.certificate)
    assert user is not None
    assert (user.name, user.groups, user.uid) == ("eve", ("a", "b"), "7")


@pytest.mark.parametrize("usages", [(), (CLIENT, SERVER), (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)])
async def test_what_is_for_clients_too(tmp_path: Path, usages: Sequence[x509.ObjectIdentifier]) -> None:
    ca = Issuer()
    user = await authenticated(tmp_path, ca.issue((CN, "eve"), usages=usages), ca.certificate)
    assert user is not None


async def test_who_is_not_named_is_nobody(tmp_path: Path) -> None:
    ca = Issuer()
    assert await authenticated(tmp_path, None, ca.certificate) is None
    assert await authenticated(tmp_path, ca.issue((O, "a")), ca.certificate) is None


@pytest.mark.parametrize("case", ["another authority's", "a server's", "two uids"])
async def test_a_certificate_that_is_not_believed_is_refused(tmp_path: Path, case: str) -> None:
    ca = Issuer()
    made = {
        "another authority's": lambda: Issuer().issue((CN, "eve")),
        "a server's": lambda: ca.issue((CN, "eve"), usages=(SERVER,)),
        "two uids": lambda: ca.issue((CN, "eve"), (UID, "1"), (UID, "2")),
    }[case]()
    with pytest.raises(StatusError) as caught:
        await authenticated(tmp_path, made, ca.certificate)
    assert caught.value.code == 401
