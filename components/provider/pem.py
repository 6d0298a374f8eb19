"""What the authority and the certificate have in common: PEM forms, key usages and the checks of their inputs."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from components.provider.kinds import Failure
from components.provider.property_values import UNKNOWN

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a host's clock may lag behind the operator's: certificates are valid from that long ago."""


def write_certificate(certificate: x509.Certificate) -> str:
    """The certificate in PEM (RFC 7468)."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def write_private_key(key: PrivateKeyTypes) -> str:
    """The private key in PEM, PKCS #8, not encrypted: whoever keeps it encrypts it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def format_expiry(certificate: x509.Certificate) -> str:
    """When the certificate expires, RFC 3339 in UTC."""
    return certificate.not_valid_after_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """The key usage (RFC 5280, 4.2.1.3) of an authority, or of an end entity with an ECDSA key."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def check_common_name(inputs: dict[str, Any]) -> list[Failure]:
    """The common name must be text of at most 64 characters (X.520 ub-common-name)."""
    name = inputs.get("common_name")
    if name is UNKNOWN or (isinstance(name, str) and 0 < len(name) <= 64):
        return []
    return [Failure("common_name", "must be text of 1 to 64 characters")]


def check_validity(inputs: dict[str, Any]) -> list[Failure]:
    """The validity must be a whole number of days, at least one."""
    days = inputs.get("validity_days")
    if days is UNKNOWN or (isinstance(days, int) and not isinstance(days, bool) and days >= 1):
        return []
    return [Failure("validity_days", "must be a whole number of days, at least 1")]
