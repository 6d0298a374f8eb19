"""Serving and client certificates: TLS contexts that follow their files, and a self-signed pair where none is given."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def server_context(
    certificate: str, key: str, *, client_ca: str = "", protocols: Sequence[str] = ("http/1.1",)
) -> ssl.SSLContext:
    """A server's TLS context: TLS 1.2 and above; client certificates are asked for where a CA is given, never required.

    Raises OSError or ssl.SSLError where a file can't be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation-free, forward-secret set for TLS 1.2; TLS 1.3 has only such.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(list(protocols))
    # Kubernetes' clients resume no sessions: tickets would be made, sent and thrown away with every connection.
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def self_signed(names: Sequence[str], addresses: Sequence[str], *, now: datetime.datetime) -> tuple[bytes, bytes]:
    """(certificate, key) in PEM, valid for a year, for serving where no certificate was configured."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    sans += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key in PEM (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def self_signed_context(
    names: Sequence[str], addresses: Sequence[str], *, now: datetime.datetime, client_ca: str = ""
) -> ssl.SSLContext:
    """`server_context` over a fresh self-signed pair that never stays on disk."""
    certificate, key = self_signed(names, addresses, now=now)
    # The ssl module loads only from files; the folder is private and gone before this returns.
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "tls.crt"), Path(folder, "tls.key")
        for path, content in zip(pair, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        return server_context(str(pair[0]), str(pair[1]), client_ca=client_ca)
