"""The key pair that signs service-account tokens: RSA of 2048 bits, as upstream's kubeadm makes it, for RS256."""

from __future__ import annotations

from typing import ClassVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components.provider import pem
from components.provider.kinds import Context, Created, Kind, Values


class ServiceAccountKey(Kind):
    """No inputs. Outputs: `private_key` and `public_key`, PEM."""

    type_name: ClassVar[str] = "keelson:index:ServiceAccountKey"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"private_key"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("private_key", "public_key")

    async def create(self, context: Context, inputs: Values) -> Created:
        """Make the pair."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Created(
            context.name, {**inputs, "private_key": pem.write_private_key(key), "public_key": public.decode()}
        )
