"""Encryption at rest: what is written, what is read, and what refuses to be read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.storage import transformers
from keelson.storage.errors import TransformError

KEY = "/registry/secrets/a/b"
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def load(tmp_path: Path, providers: str, resources: str = "[secrets]") -> transformers.Encryption:
    path = tmp_path / "encryption.yaml"
    path.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
        f"resources: [{{resources: {resources}, providers: {providers}}}]\n",
        encoding="utf-8",
    )
    return transformers.load(str(path), lambda key: key.split("/")[2])


@pytest.mark.parametrize("kind", ["aescbc", "aesgcm", "secretbox"])
def test_each_provider_reads_what_it_wrote(tmp_path: Path, kind: str) -> None:
    found = load(tmp_path, f"[{{{kind}: {{keys: [{{name: k, secret: {SECRET}}}]}}}}, {{identity: {{}}}}]")
    stored = found.encode(KEY, b"plain")
    assert stored.startswith(f"k8s:enc:{kind}:v1:k:".encode())
    assert b"plain" not in stored
    assert found.decode(KEY, stored) == (b"plain", False)
    # What was stored before encryption was turned on is read and should be written again.
    assert found.decode(KEY, b"plain") == (b"plain", True)
    assert found.encode("/registry/configmaps/a/b", b"plain") == b"plain"


@pytest.mark.parametrize("kind", ["aesgcm", "secretbox"])
def test_changed_values_are_refused(tmp_path: Path, kind: str) -> None:
    found = load(tmp_path, f"[{{{kind}: {{keys: [{{name: k, secret: {SECRET}}}]}}}}]")
    stored = found.encode(KEY, b"plain")
    with pytest.raises(TransformError):
        found.decode(KEY, stored[:-1] + bytes([stored[-1] ^ 1]))


def test_a_value_is_bound_to_its_key(tmp_path: Path) -> None:
    found = load(tmp_path, f"[{{aesgcm: {{keys: [{{name: k, secret: {SECRET}}}]}}}}]")
    with pytest.raises(TransformError):
        found.decode("/registry/secrets/a/other", found.encode(KEY, b"plain"))


def test_keys_rotate(tmp_path: Path) -> None:
    old = load(tmp_path, f"[{{aesgcm: {{keys: [{{name: old, secret: {SECRET}}}]}}}}]").encode(KEY, b"plain")
    new_secret = base64.b64encode(b"x" * 32).decode()
    both = f"[{{aesgcm: {{keys: [{{name: new, secret: {new_secret}}}, {{name: old, secret: {SECRET}}}]}}}}]"
    assert load(tmp_path, both).decode(KEY, old) == (b"plain", True)
    with pytest.raises(TransformError):
        load(tmp_path, f"[{{aesgcm: {{keys: [{{name: new, secret: {new_secret}}}]}}}}]").decode(KEY, old)


@pytest.mark.parametrize(
    "providers",
    ["[]", "[{nosuch: {}}]", "[{aesgcm: {keys: []}}]", "[{aesgcm: {keys: [{name: k, secret: short}]}}]"],
)
def test_bad_configurations_name_the_place_and_not_the_secret(tmp_path: Path, providers: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, providers)
    assert "resources[0]" in str(caught.value)
    assert "short" not in str(caught.value)
