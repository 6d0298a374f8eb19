"""Keys and certificates: right names, right usages, renewed in time, and refused where they cannot be."""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.provider.certificate import Certificate
from components.provider.certificate_authority import CertificateAuthority
from components.provider.kinds import Context, Shared, Values
from components.provider.property_values import UNKNOWN, Properties
from components.provider.random_secret import RandomSecret
from components.provider.service_account_key import ServiceAccountKey

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Silent:
    def status(self, message: str) -> None:
        pass

    info = warning = status


def context() -> Context:
    return Context("urn:pulumi:dev::keelson::keelson:index:Certificate::leaf", Silent(), Shared())


def clock() -> datetime:
    return NOW


async def authority() -> Values:
    return (await CertificateAuthority(clock).create(context(), {"common_name": "ca", "validity_days": 100})).outputs


async def leaf_inputs(**more: Any) -> Values:
    ca = await authority()
    return {
        "authority_certificate": ca["certificate"],
        "authority_private_key": ca["private_key"],
        "common_name": "kube-apiserver",
        "organizations": ["one", "two"],
        "dns_names": ["kubernetes", "localhost"],
        "ip_addresses": ["10.0.0.1", "::1"],
        "usages": ["server", "client"],
        "validity_days": 30,
        "renew_before_days": 10,
        **more,
    }


async def test_a_certificate_is_what_was_asked() -> None:
    inputs = await leaf_inputs()
    outputs = (await Certificate(clock).create(context(), inputs)).outputs
    leaf = x509.load_pem_x509_certificate(outputs["certificate"].encode())
    ca = x509.load_pem_x509_certificate(inputs["authority_certificate"].encode())
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")]
    assert [item.value for item in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["one", "two"]
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    }
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = serialization.load_pem_private_key(outputs["private_key"].encode(), password=None)
    assert key.public_key() == leaf.public_key()
    assert leaf.not_valid_after_utc == NOW + timedelta(days=30)
    assert outputs["not_after"] == "2026-12-21T12:00:00Z"


async def test_no_certificate_outlives_its_authority() -> None:
    outputs = (await Certificate(clock).create(context(), await leaf_inputs(validity_days=3000))).outputs
    assert outputs["not_after"] == "2027-03-01T12:00:00Z"


@pytest.mark.parametrize(("days_later", "renewed"), [(0, False), (19, False), (21, True), (60, True)])
async def test_it_is_renewed_in_time(days_later: int, renewed: bool) -> None:
    inputs = await leaf_inputs()
    outputs = (await Certificate(clock).create(context(), inputs)).outputs
    later = Certificate(lambda: NOW + timedelta(days=days_later))
    changes = await later.diff(context(), inputs, outputs, inputs)
    assert [change.path for change in changes] == ([("not_after",)] if renewed else [])
    assert not any(change.replace for change in changes)


async def test_a_new_authority_means_a_new_certificate_and_key() -> None:
    kind = Certificate(clock)
    inputs = await leaf_inputs()
    outputs = (await kind.create(context(), inputs)).outputs
    changed = await leaf_inputs()
    changes = await kind.diff(context(), inputs, outputs, changed)
    assert {change.path[0] for change in changes} == {"authority_certificate", "authority_private_key"}
    assert (await kind.update(context(), "leaf", outputs, changed))["private_key"] != outputs["private_key"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"common_name": ""}, "common_name"),
        ({"common_name": "x" * 65}, "common_name"),
        ({"ip_addresses": ["10.0.0.256"]}, "ip_addresses"),
        ({"usages": ["sign"]}, "usages"),
        ({"usages": []}, "usages"),
        ({"validity_days": 0}, "validity_days"),
    ],
)
async def test_what_cannot_be_issued_is_refused(change: Values, key: str) -> None:
    _, failures = await Certificate(clock).check(context(), Properties(await leaf_inputs(**change)))
    assert [failure.key for failure in failures] == [key]


async def test_a_preview_with_unknown_names_is_not_refused() -> None:
    inputs = await leaf_inputs(common_name=UNKNOWN, ip_addresses=[UNKNOWN])
    assert (await Certificate(clock).check(context(), Properties(inputs)))[1] == []


async def test_drawn_secrets_have_their_form() -> None:
    token = (await RandomSecret().create(context(), {"form": "bootstrap_token"})).outputs["value"]
    identifier, _, secret = token.partition(".")
    assert (len(identifier), len(secret)) == (6, 16)
    other = (await RandomSecret().create(context(), {"form": "bootstrap_token"})).outputs["value"]
    assert token != other
    _, failures = await RandomSecret().check(context(), Properties({"form": "dice"}))
    assert failures[0].key == "form"


async def test_service_account_keys_are_a_pair() -> None:
    outputs = (await ServiceAccountKey().create(context(), {})).outputs
    private = serialization.load_pem_private_key(outputs["private_key"].encode(), password=None)
    assert serialization.load_pem_public_key(outputs["public_key"].encode()) == private.public_key()
