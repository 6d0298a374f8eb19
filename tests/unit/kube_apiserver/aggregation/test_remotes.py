"""TLS to aggregated servers: whom it trusts, and that it follows the certificate that is shown."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

from keelson.kube_apiserver.aggregation.remotes import RemoteError, Transports
from tests.contracts.kube_apiserver.api_servers import Authority


def place(folder: Path, name: str) -> tuple[str, str]:
    certificate, key = Authority("front-proxy").issue(name)
    for file, content in (("tls.crt", certificate), ("tls.key", key)):
        # Rotation puts a new file in the old one's place.
        fresh = folder / f"{file}.new"
        fresh.write_bytes(content)
        fresh.replace(folder / file)
    return str(folder / "tls.crt"), str(folder / "tls.key")


def test_a_new_certificate_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    transports = Transports(*place(tmp_path, "one"))
    bundle = base64.b64encode(Authority("extension").pem).decode()
    first = transports.context(bundle, insecure=False)
    assert transports.context(bundle, insecure=False) is first
    place(tmp_path, "two")
    assert transports.context(bundle, insecure=False) is not first


def test_trust_is_the_bundles_and_nobodys_where_that_is_asked_for() -> None:
    transports = Transports("", "")
    context = transports.context(base64.b64encode(Authority("extension").pem).decode(), insecure=False)
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
    assert transports.context("", insecure=True).verify_mode == ssl.CERT_NONE
    with pytest.raises(RemoteError):
        transports.context(base64.b64encode(b"no certificate").decode(), insecure=False)
