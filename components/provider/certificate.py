"""A certificate of one component, signed by one of the stack's authorities; issued anew in time before it expires."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.provider import pem
from components.provider.clocks import Clock, utc_now
from components.provider.kinds import Change, Context, Created, Failure, Kind, ResourceError, Values
from components.provider.property_values import UNKNOWN, Properties, contains_unknown

_USAGES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


class Certificate(Kind):
    """Inputs: `authority_certificate`, `authority_private_key`, `common_name`, `organizations`, `dns_names`,
    `ip_addresses`, `usages` ("client", "server"), `validity_days`, `renew_before_days`.

    Outputs: `certificate`, `private_key` (PEM) and `not_after` (RFC 3339). A changed input, a changed authority, or
    less than `renew_before_days` left, issues it anew with a new key.
    """

    type_name: ClassVar[str] = "keelson:index:Certificate"
    updatable: ClassVar[frozenset[str]] = frozenset(
        {
            "authority_certificate",
            "authority_private_key",
            "common_name",
            "organizations",
            "dns_names",
            "ip_addresses",
            "usages",
            "validity_days",
            "renew_before_days",
        }
    )
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"private_key"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("certificate", "private_key", "not_after")

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """Refuse what cannot be issued: bad names, addresses, usages or validity."""
        values = inputs.values
        failures = pem.check_common_name(values) + pem.check_validity(values)
        for address in values.get("ip_addresses") or ():
            if address is UNKNOWN:
                continue
            try:
                ipaddress.ip_address(address)
            except ValueError:
                failures.append(Failure("ip_addresses", f"{address!r} is not an IP address"))
        unknown = [usage for usage in values.get("usages") or () if usage not in _USAGES and usage is not UNKNOWN]
        if unknown or not values.get("usages"):
            failures.append(Failure("usages", f"must be of {', '.join(_USAGES)}; got {unknown or 'none'}"))
        return values, failures

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        """A changed input, or the time to renew."""
        changes = await super().diff(context, old_inputs, outputs, new_inputs)
        before = new_inputs.get("renew_before_days")
        if not changes and isinstance(before, int):
            expiry = datetime.fromisoformat(outputs["not_after"])
            if expiry - self._clock() < timedelta(days=before):
                changes.append(Change(("not_after",), "update", against_inputs=False))
        return changes

    def previewed(self, inputs: Values, outputs: Values | None) -> Values:
        """An update issues a new key, so neither a create nor an update can be told beforehand."""
        return {**(outputs or {}), **inputs, **dict.fromkeys(self.computed_outputs, UNKNOWN)}

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make a key and have the authority sign for it."""
        return Created(inputs["common_name"], self._issue(context, inputs))

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        """Issue it anew, with a new key."""
        return self._issue(context, inputs)

    def _issue(self, context: Context, inputs: Values) -> Values:
        if contains_unknown(inputs):
            raise ResourceError(f"{context.name}: a certificate cannot be issued from values not known yet")
        authority = x509.load_pem_x509_certificate(inputs["authority_certificate"].encode())
        signer = serialization.load_pem_private_key(inputs["authority_private_key"].encode(), password=None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise ResourceError(f"{context.name}: the authority's key is not an ECDSA key")
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock()
        expiry = min(now + timedelta(days=inputs["validity_days"]), authority.not_valid_after_utc)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in inputs.get("organizations") or ()]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, inputs["common_name"]))
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in inputs.get("dns_names") or ()]
        alternatives += [x509.IPAddress(ipaddress.ip_address(item)) for item in inputs.get("ip_addresses") or ()]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - pem.CLOCK_SKEW)
            .not_valid_after(expiry)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(pem.key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGES[usage] for usage in inputs["usages"]]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        return {
            **inputs,
            "certificate": pem.write_certificate(certificate),
            "private_key": pem.write_private_key(key),
            "not_after": pem.format_expiry(certificate),
        }
