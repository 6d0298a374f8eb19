"""Bearer tokens: service-account tokens whose parts are spoiled, and what no issuer ever made."""

from __future__ import annotations

import base64
import json

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import TEXTS, VALUES, corrupted, dumped, spoiled


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _read(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@some.composite
def tokens(draw: some.DrawFn, sound: str) -> str:
    """A token that is not `sound`, which is one of the cluster's own."""
    head, body, signature = sound.split(".")
    match draw(some.sampled_from(["algorithm", "head", "body", "signature", "parts", "text"])):
        case "algorithm":
            names = ["none", "None", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", "", 1, None]
            value = {**json.loads(_read(head)), "alg": draw(some.sampled_from(names))}
            head = _part(dumped(value))
            signature = draw(some.sampled_from(["", signature]))
        case "head":
            head = _part(draw(some.one_of(spoiled(json.loads(_read(head))), VALUES).map(dumped)))
            signature += "A"
        case "body":
            body = _part(draw(corrupted(dumped(draw(spoiled(json.loads(_read(body))))))))
        case "signature":
            flipped = bytearray(_read(signature))
            flipped[draw(some.integers(0, len(flipped) - 1))] ^= 1 << draw(some.integers(0, 7))
            signature = _part(bytes(flipped))
        case "parts":
            return ".".join(draw(some.lists(some.sampled_from([head, body, signature, "", "e30"]), max_size=6)))
        case _:
            return draw(TEXTS)
    return f"{head}.{body}.{signature}"
