from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keelson.client import kubeconfigs
from keelson.component_base import certificates as tls
from keelson.kubelet import certificates
from keelson.kubelet.certificates import CertificateStore

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pair(now: datetime = _NOW) -> bytes:
    certificate, key = tls.self_signed(["node-1"], ["192.0.2.1"], now=now)
    return certificate + key


def test_a_request_names_the_node_and_its_addresses() -> None:
    wanted = certificates.serving_certificate("node-1", ["node-1"], ["192.0.2.1", "fd00::1"])
    request = x509.load_pem_x509_csr(certificates.request_pem(wanted, ec.generate_private_key(ec.SECP256R1())))
    assert request.is_signature_valid
    assert request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:node-1"
    assert request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1"]
    addresses = [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("fd00::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    client = certificates.client_certificate("node-1")
    bare = x509.load_pem_x509_csr(certificates.request_pem(client, ec.generate_private_key(ec.SECP256R1())))
    assert not list(bare.extensions)


def test_the_store_switches_in_one_step_and_keeps_keys_private(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path / "pki", "kubelet-client")
    assert store.load() is None
    store.save(pair(), _NOW)
    first = store.load()
    store.save(pair(), _NOW + timedelta(days=1))
    assert store.current.readlink() == Path("kubelet-client-2026-01-02-00-00-00.pem")
    assert store.current.stat().st_mode & 0o777 == 0o600
    assert first is not None
    assert store.load() != first


def test_renewal_comes_between_70_and_90_percent_of_the_life() -> None:
    certificate = x509.load_pem_x509_certificate(pair())
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    begin = certificate.not_valid_before_utc
    assert (certificates.renewal(certificate, lambda: 0.0) - begin) / life == pytest.approx(0.7)
    assert (certificates.renewal(certificate, lambda: 1.0) - begin) / life == pytest.approx(0.9)
    assert certificates.is_usable(certificate, _NOW)
    assert not certificates.is_usable(certificate, _NOW + timedelta(days=366))
    assert not certificates.is_usable(None, _NOW)


async def test_credentials_that_work_are_left_alone(tmp_path: Path) -> None:
    given = tmp_path / "kubelet.conf"
    given.write_text(yaml.safe_dump({"kind": "Config", "users": [{"name": "u", "user": {"token": "t"}}]}))
    before = given.read_bytes()
    await certificates.bootstrap("", str(given), tmp_path, "node-1", lambda: _NOW)
    assert given.read_bytes() == before


async def test_without_any_credentials_the_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(kubeconfigs.KubeconfigError, match=r"kubelet\.conf: no such file"):
        await certificates.bootstrap("", str(tmp_path / "kubelet.conf"), tmp_path, "node-1", lambda: _NOW)


async def test_a_certificate_from_before_makes_the_kubeconfig_anew(tmp_path: Path) -> None:
    boot = tmp_path / "boot.conf"
    cluster = {"server": "https://192.0.2.9:6443", "certificate-authority": "ca.crt"}
    boot.write_text(
        yaml.safe_dump(
            {
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
            }
        )
    )
    (tmp_path / "ca.crt").write_bytes(pair())
    store = CertificateStore(tmp_path / "pki", "kubelet-client")
    store.save(pair(), _NOW)
    target = tmp_path / "etc" / "kubelet.conf"
    await certificates.bootstrap(str(boot), str(target), tmp_path / "pki", "node-1", lambda: _NOW)
    config = kubeconfigs.load(str(target))
    assert (config.server, config.certificate, config.token) == ("https://192.0.2.9:6443", str(store.current), "")
    assert config.ca_data
    assert target.stat().st_mode & 0o777 == 0o600
