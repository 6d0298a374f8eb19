"""A secret made of randomness, kept in the stack's state: bootstrap tokens, encryption keys."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Callable
from typing import ClassVar

from components.provider.kinds import Context, Created, Failure, Kind, Values
from components.provider.property_values import UNKNOWN, Properties

_TOKEN_ALPHABET = string.ascii_lowercase + string.digits


def _bootstrap_token() -> str:
    """`id.secret` of 6 and 16 characters (Kubernetes: "Authenticating with Bootstrap Tokens")."""
    characters = [secrets.choice(_TOKEN_ALPHABET) for _ in range(22)]
    return "".join(characters[:6]) + "." + "".join(characters[6:])


_FORMS: dict[str, Callable[[], str]] = {
    "bootstrap_token": _bootstrap_token,
    # 32 bytes in base64: what an EncryptionConfiguration's aesgcm, aescbc and secretbox providers take.
    "encryption_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
}


class RandomSecret(Kind):
    """Inputs: `form`, one of bootstrap_token, encryption_key. Output: `value`, secret."""

    type_name: ClassVar[str] = "keelson:index:RandomSecret"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"value"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("value",)

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        """Refuse a form that is not known."""
        form = inputs.values.get("form")
        if form is not UNKNOWN and form not in _FORMS:
            return inputs.values, [Failure("form", f"must be one of {', '.join(_FORMS)}; got {form!r}")]
        return inputs.values, []

    async def create(self, context: Context, inputs: Values) -> Created:
        """Draw it."""
        return Created(context.name, {**inputs, "value": _FORMS[inputs["form"]]()})
