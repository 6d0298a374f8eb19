"""A certificate authority: a self-signed root and its private key, which is a secret of the stack's state.

ECDSA on P-256: the keys of a whole cluster are made in milliseconds, and every TLS stack of Kubernetes takes them
(RFC 5280 for the extensions; RFC 5480 for the keys).
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.provider import pem
from components.provider.clocks import Clock, utc_now
from components.provider.kinds import Context, Created, Failure, Kind, Values
from components.provider.property_values import Properties


class CertificateAuthority(Kind):
    """Inputs: `common_name`, `validity_days`. Outputs: `certificate`, `private_key` (PEM), `not_after` (RFC 3339)."""

    type_name: ClassVar[str] = "keelson:index:CertificateAuthority"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"private_key"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("certificate", "private_key", "not_after")
    # Certificates are issued anew by the new authority before the old one is forgotten.
    delete_before_replace: ClassVar[bool] = False

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """Refuse a name or validity that no certificate can have."""
        return inputs.values, pem.check_common_name(inputs.values) + pem.check_validity(inputs.values)

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the key and sign the root with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, inputs["common_name"])])
        now = self._clock()
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - pem.CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=inputs["validity_days"]))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(pem.key_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        outputs = {
            **inputs,
            "certificate": pem.write_certificate(certificate),
            "private_key": pem.write_private_key(key),
            "not_after": pem.format_expiry(certificate),
        }
        return Created(inputs["common_name"], outputs)
