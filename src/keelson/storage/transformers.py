"""What happens to a value between the API server and the store: encryption at rest, or nothing.

The configuration is EncryptionConfiguration (apiserver.config.k8s.io/v1); values carry upstream's prefixes
(`k8s:enc:aesgcm:v1:KEY:`), so that both servers read each other's. The first provider of a resource writes; each of
them reads what carries its prefix, which is how keys and providers are rotated. AES-GCM binds a value to its key of
the store, so that it can't be moved to another.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fnmatch
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from keelson.component_base import configurations

from . import kms
from .errors import TransformError
from .kms import Kms

_PREFIX = b"k8s:enc:"
_TICK_SECONDS = 1.0
_API_VERSIONS = ("apiserver.config.k8s.io/v1",)


class Transformer(Protocol):
    """Between plain and stored values."""

    def encode(self, key: str, plain: bytes) -> bytes:
        """The value to store at `key`."""
        ...

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """(plain value, whether it should be written again with the current key). Raises TransformError."""
        ...


class Identity:
    """Values as they are."""

    def encode(self, key: str, plain: bytes) -> bytes:
        """The plain value."""
        return plain

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """The stored value, unless somebody encrypted it."""
        if stored.startswith(_PREFIX):
            raise TransformError("the value is encrypted and no provider for it is configured")
        return stored, False


class _Cipher(Protocol):
    def encrypt(self, plain: bytes, context: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes, context: bytes) -> bytes: ...


class _AesCbc:
    """AES-CBC with PKCS #7 padding; not authenticated, here because upstream's values use it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) not in (16, 24, 32):
            raise ValueError("an AES key has 16, 24 or 32 bytes")
        self._secret = secret

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        start = os.urandom(16)
        padding = 16 - len(plain) % 16
        run = Cipher(algorithms.AES(self._secret), modes.CBC(start)).encryptor()
        return start + run.update(plain + bytes([padding]) * padding) + run.finalize()

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if len(sealed) < 32 or len(sealed) % 16:
            raise ValueError("the length is wrong")
        run = Cipher(algorithms.AES(self._secret), modes.CBC(sealed[:16])).decryptor()
        padded = run.update(sealed[16:]) + run.finalize()
        padding = padded[-1]
        if not 1 <= padding <= 16 or padded[-padding:] != bytes([padding]) * padding:
            raise ValueError("the padding is wrong")
        return padded[:-padding]


class _AesGcm:
    """AES-GCM with a random nonce; the key of the store is authenticated with the value."""

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(secret)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag as error:
            raise ValueError("the value was changed") from error


class _SecretBox:
    """NaCl's secretbox: XSalsa20 and Poly1305."""

    def __init__(self, secret: bytes) -> None:
        from nacl.secret import SecretBox

        if len(secret) != 32:
            raise ValueError("a secretbox key has 32 bytes")
        self._box = SecretBox(secret)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        return bytes(self._box.encrypt(plain))

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return self._box.decrypt(sealed)
        except CryptoError as error:
            raise ValueError("the value was changed") from error


_CIPHERS: Mapping[str, Callable[[bytes], _Cipher]] = {"aescbc": _AesCbc, "aesgcm": _AesGcm, "secretbox": _SecretBox}


class _Provider:
    """One key of one kind of encryption."""

    def __init__(self, kind: str, name: str, cipher: _Cipher) -> None:
        self.prefix = _PREFIX + f"{kind}:v1:{name}:".encode()
        self._cipher = cipher

    def encode(self, key: str, plain: bytes) -> bytes:
        return self.prefix + self._cipher.encrypt(plain, key.encode())

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        try:
            return self._cipher.decrypt(stored[len(self.prefix) :], key.encode()), False
        except ValueError as error:
            raise TransformError(f"{key} can't be decrypted: {error}") from error


class Chain:
    """The providers of a resource; None among them is `identity`."""

    def __init__(self, providers: Sequence[_Provider | Kms | None]) -> None:
        self._providers = providers

    def encode(self, key: str, plain: bytes) -> bytes:
        """Encrypted by the first provider."""
        first = self._providers[0]
        return plain if first is None else first.encode(key, plain)

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """Decrypted by whichever provider wrote it."""
        for position, provider in enumerate(self._providers):
            if provider is None:
                if not stored.startswith(_PREFIX):
                    return stored, position > 0
            elif stored.startswith(provider.prefix):
                plain, stale = provider.decode(key, stored)
                return plain, stale or position > 0
        raise TransformError(f"{key}: no configured provider wrote this value")


class Encryption:
    """The transformer of a configuration. `resource_of` tells whose key it is: "secrets", "deployments.apps", ""."""

    def __init__(
        self,
        rules: Sequence[tuple[Sequence[str], Chain]],
        resource_of: Callable[[str], str],
        services: Sequence[Kms] = (),
    ) -> None:
        self._rules = rules
        self._resource_of = resource_of
        self._chosen: dict[str, Transformer] = {}
        # The programs that keep keys for it.
        self.services = services

    def adopt(self, other: Encryption) -> None:
        """Work as another one does from now on; the services of before are closed."""
        old = self.services
        self._rules, self.services, self._chosen = other._rules, other.services, {}
        for service in old:
            service.close()

    @property
    def trouble(self) -> str | None:
        """Why it can't be relied on now, None where it can."""
        return next((service.trouble for service in self.services if service.trouble is not None), None)

    def encrypts(self, key: str) -> bool:
        """Whether values of this key are anything but plain."""
        return isinstance(self._chain(key), Chain)

    async def run(self) -> None:
        """Ask services for their status, for ever; those of another configuration once it is adopted."""
        due: dict[Kms, float] = {}
        while True:
            now = time.monotonic()
            due = {service: due.get(service, now) for service in self.services}
            for service in due:
                if service.trouble is not None:
                    due[service] = min(due[service], now + kms.POLL_SECONDS_FAILING)
            for service in [each for each, moment in due.items() if moment <= now]:
                await asyncio.to_thread(service.poll)
                seconds = kms.POLL_SECONDS if service.trouble is None else kms.POLL_SECONDS_FAILING
                due[service] = time.monotonic() + seconds
            await asyncio.sleep(_TICK_SECONDS)

    def _chain(self, key: str) -> Transformer:
        resource = self._resource_of(key)
        found = self._chosen.get(resource)
        if found is None:
            found = next((chain for patterns, chain in self._rules if _matches(resource, patterns)), Identity())
            self._chosen[resource] = found
        return found

    def encode(self, key: str, plain: bytes) -> bytes:
        """Encrypted as the first rule for the resource says."""
        return self._chain(key).encode(key, plain)

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """Decrypted by the rule for the resource."""
        return self._chain(key).decode(key, stored)


def _matches(resource: str, patterns: Sequence[str]) -> bool:
    """`*.GROUP` is every resource of a group, `*.` those of the core group, `*.*` all."""
    if not resource:
        return False
    group = resource.partition(".")[2]
    for pattern in patterns:
        if pattern in (resource, "*.*") or (pattern == "*." and not group):
            return True
        wanted_name, dot, wanted_group = pattern.partition(".")
        if dot and wanted_name == "*" and wanted_group and fnmatch.fnmatchcase(group, wanted_group):
            return True
    return False


def load(path: str, resource_of: Callable[[str], str]) -> Encryption:
    """The transformer of an EncryptionConfiguration file. Raises ConfigurationError, which names the field."""
    document = configurations.load(path, kind="EncryptionConfiguration", api_versions=_API_VERSIONS)
    rules: list[tuple[Sequence[str], Chain]] = []
    services: dict[str, Kms] = {}
    for index, entry in enumerate(document.get("resources") or ()):
        where = f"{path}: resources[{index}]"
        fields = configurations.Fields(where, entry)
        patterns = fields.get("resources", list, [])
        providers: list[_Provider | Kms | None] = []
        for position, provider in enumerate(fields.get("providers", list, [])):
            providers += _providers(f"{where}.providers[{position}]", provider, services)
        fields.close()
        if not patterns or not providers:
            raise configurations.ConfigurationError(f"{where}: resources and providers must not be empty")
        rules.append((patterns, Chain(providers)))
    if not rules:
        raise configurations.ConfigurationError(f"{path}: resources must not be empty")
    return Encryption(rules, resource_of, list(services.values()))


def _kms(where: str, settings: Any, services: dict[str, Kms]) -> Kms:
    fields = configurations.Fields(where, settings)
    version, name = fields.get("apiVersion", str, "v1"), fields.get("name", str, "")
    endpoint, seconds = fields.get("endpoint", str, ""), fields.seconds("timeout", 3.0)
    fields.close()
    if version != "v2":
        raise configurations.ConfigurationError(f"{where}.apiVersion: Unsupported value: {version!r}: want v2")
    if not name or ":" in name:
        raise configurations.ConfigurationError(f"{where}.name: must not be empty and holds no colon")
    if not endpoint.startswith("unix:///"):
        raise configurations.ConfigurationError(f"{where}.endpoint: {endpoint!r}: want unix:///path")
    if seconds <= 0:
        raise configurations.ConfigurationError(f"{where}.timeout: must be more than 0")
    if name in services:
        raise configurations.ConfigurationError(f"{where}.name: {name!r} is there twice")
    services[name] = Kms(name, endpoint, seconds=seconds)
    return services[name]


def _providers(where: str, provider: Any, services: dict[str, Kms]) -> list[_Provider | Kms | None]:
    if not isinstance(provider, dict) or len(provider) != 1:
        raise configurations.ConfigurationError(f"{where}: want exactly one provider")
    kind, settings = next(iter(provider.items()))
    if kind == "identity":
        return [None]
    if kind == "kms":
        return [_kms(f"{where}.kms", settings, services)]
    if kind not in _CIPHERS:
        raise configurations.ConfigurationError(f"{where}: unknown provider {kind!r}")
    made: list[_Provider | Kms | None] = []
    for index, key in enumerate((settings or {}).get("keys") or ()):
        place = f"{where}.{kind}.keys[{index}]"
        try:
            secret = base64.b64decode(key["secret"], validate=True)
            made.append(_Provider(kind, key["name"], _CIPHERS[kind](secret)))
        except (KeyError, TypeError) as error:
            raise configurations.ConfigurationError(f"{place}: want name and secret") from error
        except (ValueError, binascii.Error) as error:
            # The message must not tell anything of the secret.
            raise configurations.ConfigurationError(f"{place}.secret: not a base64 key of the right length") from error
    if not made:
        raise configurations.ConfigurationError(f"{where}.{kind}.keys: at least one key is needed")
    return made
