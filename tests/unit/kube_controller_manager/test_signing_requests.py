"""What may be signed, and for whom: a request never yields more than the requester is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keelson.kube_controller_manager import signatures
from keelson.kube_controller_manager.decisions import signing_requests as rules
from keelson.kube_controller_manager.decisions.signing_requests import Request

CLIENT_USAGES = ["digital signature", "client auth"]
SERVER_USAGES = ["digital signature", "server auth"]
NODE = Request(common_name="system:node:n1", organizations=("system:nodes",))
SERVING = Request(
    common_name="system:node:n1", organizations=("system:nodes",), dns_names=("n1",), addresses=("10.0.0.1",)
)


@pytest.mark.parametrize(
    ("signer", "request_", "usages", "part"),
    [
        (rules.CLIENT, Request(common_name="me", organizations=("system:masters",)), CLIENT_USAGES, "system:masters"),
        (rules.CLIENT, Request(common_name="me", organizations=()), SERVER_USAGES, "usages"),
        (rules.KUBELET_CLIENT, Request(common_name="system:node:n", organizations=("dev",)), CLIENT_USAGES, "organiz"),
        (rules.KUBELET_CLIENT, Request(common_name="me", organizations=("system:nodes",)), CLIENT_USAGES, "common"),
        (rules.KUBELET_CLIENT, SERVING, CLIENT_USAGES, "subject alternative"),
        (rules.KUBELET_SERVING, NODE, SERVER_USAGES, "DNS name or an IP"),
        (rules.KUBELET_SERVING, SERVING, CLIENT_USAGES, "usages"),
    ],
)
def test_refusals(signer: str, request_: Request, usages: list[str], part: str) -> None:
    assert part in rules.refusal(signer, request_, usages)


def test_what_is_signed() -> None:
    assert rules.refusal(rules.KUBELET_CLIENT, NODE, CLIENT_USAGES) == ""
    assert rules.refusal(rules.KUBELET_SERVING, SERVING, SERVER_USAGES) == ""


def _csr(signer: str, username: str, usages: list[str]) -> dict[str, Any]:
    groups = ["system:nodes", "system:authenticated"]
    return {"spec": {"signerName": signer, "username": username, "groups": groups, "usages": usages}}


def test_a_node_may_renew_only_itself() -> None:
    own = _csr(rules.KUBELET_CLIENT, "system:node:n1", CLIENT_USAGES)
    assert rules.approval_permission(own, NODE) == "selfnodeclient"
    other = _csr(rules.KUBELET_CLIENT, "system:node:n2", CLIENT_USAGES)
    assert rules.approval_permission(other, NODE) == "nodeclient"


def test_serving_names_must_be_the_nodes_own() -> None:
    csr = _csr(rules.KUBELET_SERVING, "system:node:n1", SERVER_USAGES)
    node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
    assert rules.serving_refusal(csr, SERVING, node) == ""
    assert "not registered" in rules.serving_refusal(csr, SERVING, None)
    moved = {**node, "status": {"addresses": []}}
    assert "10.0.0.1" in rules.serving_refusal(csr, SERVING, moved)
    stranger = _csr(rules.KUBELET_SERVING, "system:node:n2", SERVER_USAGES)
    assert "not the node" in rules.serving_refusal(stranger, SERVING, node)


def _authority(now: datetime) -> signatures.Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=now.year + 1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signatures.Authority(certificate.public_bytes(serialization.Encoding.PEM), pem)


def test_a_certificate_is_what_was_asked_and_never_outlives_the_authority() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1"),
        ]
    )
    sans = x509.SubjectAlternativeName([x509.DNSName("n1")])
    pem = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(sans, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    csr, request = signatures.read(pem)
    assert (request.common_name, request.organizations, request.dns_names) == (
        "system:node:n1",
        ("system:nodes",),
        ("n1",),
    )
    signed = x509.load_pem_x509_certificate(
        _authority(now).sign(csr, request, SERVER_USAGES, now=now, seconds=10 * 365 * 86400)
    )
    assert signed.not_valid_after_utc == now.replace(year=2027)
    assert signed.subject == subject
    assert not signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_rubbish_is_no_request() -> None:
    with pytest.raises(signatures.RequestError, match="not a PKCS #10 request"):
        signatures.read(b"rubbish")


def test_a_certificate_has_one_name_and_no_uid() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    uid = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
            x509.NameAttribute(uid, "somebody's"),
        ]
    )
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    csr, request = signatures.read(made.public_bytes(serialization.Encoding.PEM))
    # The API server takes the last name for the user: so is it judged here, and this is no node's.
    assert request.common_name == "admin"
    assert "common" in rules.refusal(rules.KUBELET_CLIENT, request, CLIENT_USAGES)
    now = datetime.now(UTC)
    ca = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    authority = signatures.Authority(
        ca.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    signed = x509.load_pem_x509_certificate(authority.sign(csr, request, CLIENT_USAGES, now=now, seconds=600))
    assert [(each.oid, each.value) for each in signed.subject] == [
        (NameOID.ORGANIZATION_NAME, "system:nodes"),
        (NameOID.COMMON_NAME, "admin"),
    ]
