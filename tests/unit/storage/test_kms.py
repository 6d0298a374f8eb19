"""Values whose keys another program keeps: seeds and not values are shown to it, rotation, and when it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.storage import kms, transformers
from keelson.storage._gen import kms_pb2 as messages
from keelson.storage.errors import KeyServiceError, TransformError
from keelson.storage.kms import Kms
from tests.contracts.storage.key_services import KeyService

_KEY = "/registry/secrets/default/one"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[KeyService]:
    with KeyService(tmp_path / "kms.sock") as found:
        yield found


@pytest.fixture
def provider(service: KeyService) -> Iterator[Kms]:
    made = Kms("mine", service.endpoint)
    made.poll()
    yield made
    made.close()


def test_values_come_back_from_their_own_place_only(service: KeyService, provider: Kms) -> None:
    stored = [provider.encode(_KEY, b"plain") for _ in range(10)]
    assert all(value.startswith(b"k8s:enc:kms:v2:mine:") and b"plain" not in value for value in stored)
    assert len(set(stored)) == 10
    assert {provider.decode(_KEY, value) for value in stored} == {(b"plain", False)}
    with pytest.raises(TransformError, match="moved to another place"):
        provider.decode("/registry/secrets/default/two", stored[0])
    with pytest.raises(TransformError):
        provider.decode(_KEY, stored[0][:-1])
    with pytest.raises(TransformError):
        provider.decode(_KEY, provider.prefix + b"\xff\xff")
    # One seed was wrapped for all of them, and the service was never shown a value.
    assert service.calls["Encrypt"] == 1
    assert service.calls["Decrypt"] == 0


def test_what_is_stored_is_upstreams_message(provider: Kms) -> None:
    found = messages.EncryptedObject.FromString(provider.encode(_KEY, b"plain")[len(provider.prefix) :])
    assert (found.key_id, found.encrypted_dek_source_type) == ("key-1", 1)
    # 32 bytes that derive the key, 12 of nonce, the value, 16 of authentication.
    assert len(found.encrypted_data) == 32 + 12 + len(b"plain") + 16


def test_another_server_asks_once_a_seed(service: KeyService, provider: Kms) -> None:
    stored = [provider.encode(_KEY, b"plain") for _ in range(5)]
    other = Kms("mine", service.endpoint)
    other.poll()
    assert {other.decode(_KEY, value) for value in stored} == {(b"plain", False)}
    assert service.calls["Decrypt"] == 1
    other.close()


def test_a_rotated_key_makes_old_values_stale(service: KeyService, provider: Kms) -> None:
    old = provider.encode(_KEY, b"plain")
    service.rotate()
    provider.poll()
    assert provider.decode(_KEY, old) == (b"plain", True)
    assert provider.decode(_KEY, provider.encode(_KEY, b"plain")) == (b"plain", False)
    assert service.calls["Encrypt"] == 2


def test_values_of_plain_keys_are_read(service: KeyService, provider: Kms) -> None:
    source = b"k" * 32
    wrapped = service._encrypt(messages.EncryptRequest(plaintext=source), None)
    sealed = kms._sealed(source, b"plain", _KEY.encode())
    older = messages.EncryptedObject(
        encrypted_data=sealed, key_id=wrapped.key_id, encrypted_dek_source=wrapped.ciphertext,
        annotations=dict(wrapped.annotations),
    )  # fmt: skip
    assert provider.decode(_KEY, provider.prefix + older.SerializeToString()) == (b"plain", True)


def test_an_unknown_seed_is_not_asked_for_over_and_over(service: KeyService, provider: Kms, tmp_path: Path) -> None:
    with KeyService(tmp_path / "other.sock") as stranger:
        elsewhere = Kms("mine", stranger.endpoint)
        elsewhere.poll()
        stored = elsewhere.encode(_KEY, b"plain")
        elsewhere.close()
    for _ in range(3):
        with pytest.raises(TransformError):
            provider.decode(_KEY, stored)
    assert service.calls["Decrypt"] == 1
    assert provider.trouble is None


def test_a_service_that_is_gone_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = KeyService(tmp_path / "kms.sock")
    with service:
        provider, other = Kms("mine", service.endpoint, seconds=0.5), Kms("mine", service.endpoint)
        provider.poll()
        other.poll()
        stored, theirs = provider.encode(_KEY, b"plain"), other.encode(_KEY, b"plain")
    with pytest.raises(KeyServiceError):
        provider.decode(_KEY, theirs)
    assert provider.trouble
    calls = dict(service.calls)
    with pytest.raises(KeyServiceError):
        provider.decode(_KEY, theirs)
    assert service.calls == calls
    # What it knows already it can still read, and for a while write with.
    assert provider.decode(_KEY, stored) == (b"plain", False)
    assert provider.encode(_KEY, b"plain")
    monkeypatch.setattr(kms, "_WRITE_SECONDS", -1.0)
    with service:
        provider.poll()
        assert not provider.trouble
        with pytest.raises(TransformError, match="expired"):
            provider.encode(_KEY, b"plain")
        assert provider.decode(_KEY, theirs) == (b"plain", False)
    provider.close()
    other.close()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("healthz", "broken", "not healthy: broken"), ("version", "v1", "speaks version"), ("key_id", "", "empty")],
)
def test_a_status_that_will_not_do(service: KeyService, field: str, value: str, words: str) -> None:
    setattr(service, field, value)
    provider = Kms("mine", service.endpoint)
    provider.poll()
    assert words in (provider.trouble or "")
    with pytest.raises(TransformError, match="can't encrypt"):
        provider.encode(_KEY, b"plain")
    provider.close()


def test_a_configuration_names_services(tmp_path: Path, service: KeyService) -> None:
    path = tmp_path / "encryption.yaml"

    def load(provider: str) -> transformers.Encryption:
        path.write_text(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
            f"resources: [{{resources: [secrets], providers: [{{kms: {provider}}}, {{identity: {{}}}}]}}]\n"
        )
        return transformers.load(str(path), lambda key: key.split("/")[2])

    made = load(f"{{apiVersion: v2, name: mine, endpoint: '{service.endpoint}', timeout: 1s}}")
    made.services[0].poll()
    assert made.encrypts(_KEY)
    assert not made.encrypts("/registry/configmaps/a/b")
    assert made.decode(_KEY, made.encode(_KEY, b"plain")) == (b"plain", False)
    assert made.decode(_KEY, b"{}") == (b"{}", True)
    made.services[0].close()
    for wrong, words in (
        (f"{{name: mine, endpoint: '{service.endpoint}'}}", "apiVersion"),
        (f"{{apiVersion: v2, name: 'a:b', endpoint: '{service.endpoint}'}}", "name"),
        ("{apiVersion: v2, name: mine, endpoint: 'tcp://x'}", "endpoint"),
        (f"{{apiVersion: v2, name: mine, endpoint: '{service.endpoint}', cachesize: 9}}", "cachesize"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            load(wrong)
