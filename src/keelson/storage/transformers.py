"""What happens to a value between the API server and the store: encryption at rest, or nothing.

The configuration is EncryptionConfiguration (apiserver.config.k8s.io/v1); values carry upstream's prefixes
(`k8s:enc:aesgcm:v1:KEY:`), so that both servers read each other's. The key of the store is bound to the ciphertext
where the cipher can bind it, so that a value can't be moved to another key.
"""

from __future__ import annotations

from typing import Protocol


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
        return plain

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        return stored, False
