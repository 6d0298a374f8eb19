"""X.509 for the signing controllers: reading PKCS #10 requests and signing certificates (RFC 2986, RFC 5280)."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .decisions.signing_requests import Request

_EXTENDED = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}
# A certificate is valid from a little before now: clocks of hosts differ.
_BACKDATE = timedelta(minutes=5)
# What of a request's subject goes into the certificate beside the common name (X.520).
_SUBJECT = frozenset({
    NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.LOCALITY_NAME,
    NameOID.STATE_OR_PROVINCE_NAME, NameOID.STREET_ADDRESS, NameOID.POSTAL_CODE, NameOID.SERIAL_NUMBER,
})  # fmt: skip


class RequestError(Exception):
    """The PKCS #10 request can't be read or is not signed by its own key."""


def read(pem: bytes) -> tuple[x509.CertificateSigningRequest, Request]:
    """The request and what it asks for."""
    try:
        csr = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise RequestError(f"not a PKCS #10 request: {error}") from error
    try:
        valid = csr.is_signature_valid
    except InvalidSignature:
        valid = False
    if not valid:
        raise RequestError("the request is not signed by its own key")
    names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        sans = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        sans = x509.SubjectAlternativeName([])
    return csr, Request(
        # Of several names the last counts, as for upstream; no certificate gets more than that one.
        common_name=str(names[-1].value) if names else "",
        organizations=tuple(str(found.value) for found in organizations),
        dns_names=tuple(sans.get_values_for_type(x509.DNSName)),
        addresses=tuple(str(found) for found in sans.get_values_for_type(x509.IPAddress)),
        emails=tuple(sans.get_values_for_type(x509.RFC822Name)),
        uris=tuple(sans.get_values_for_type(x509.UniformResourceIdentifier)),
    )


class Authority:
    """A certificate authority that signs what was approved."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate)
        loaded = serialization.load_pem_private_key(key, None)
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise TypeError("the CA's key is neither RSA, ECDSA nor Ed25519")
        self._key = loaded

    def sign(
        self, csr: x509.CertificateSigningRequest, request: Request, usages: list[str], *, now: datetime, seconds: float
    ) -> bytes:
        """The certificate in PEM: the request's subject and names, these usages, never valid longer than the CA.

        Of the subject only what X.520 knows is taken: Kubernetes' own attribute for a user's UID is for CAs to state.
        """
        until = min(now + timedelta(seconds=seconds), self._certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(csr, request))
            .issuer_name(self._certificate.subject)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _BACKDATE, self._certificate.not_valid_before_utc))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(usages), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_EXTENDED[name] for name in usages if name in _EXTENDED]), False)
            .add_extension(self._authority_identifier(), critical=False)
        )
        if request.has_names:
            sans = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(sans.value, critical=False)
        algorithm = None if isinstance(self._key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self._key, algorithm).public_bytes(serialization.Encoding.PEM)

    def _authority_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _subject(csr: x509.CertificateSigningRequest, request: Request) -> x509.Name:
    kept = [each for each in csr.subject if each.oid in _SUBJECT]
    if request.common_name:
        kept.append(x509.NameAttribute(NameOID.COMMON_NAME, request.common_name))
    return x509.Name(kept)


def _key_usage(usages: list[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        key_encipherment="key encipherment" in usages,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
