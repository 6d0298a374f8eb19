"""What the ConfigMap extension-apiserver-authentication says where several servers publish their trust in it. Pure.

Each server adds what it trusts and takes away nothing but certificates that have expired, so that while CAs are
exchanged one server after the other, extension servers believe the front proxies of all (upstream's cluster
authentication trust controller).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import serialization

_BUNDLES = ("client-ca-file", "requestheader-client-ca-file")


def combined(published: Mapping[str, str], own: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The ConfigMap's data once `own` is in it too."""
    found = {**published, **own}
    for key, text in own.items():
        before = published.get(key, "")
        if key in _BUNDLES:
            found[key] = _bundle(before, text, now)
        elif key.startswith("requestheader-") and before:
            found[key] = _names(before, text)
    return found


def _bundle(before: str, own: str, now: datetime) -> str:
    held = {
        certificate.public_bytes(serialization.Encoding.PEM): certificate
        for certificate in (*_certificates(before), *_certificates(own))
    }
    valid = [pem for pem, certificate in held.items() if certificate.not_valid_after_utc > now]
    return b"".join(valid).decode("ascii")


def _certificates(text: str) -> list[x509.Certificate]:
    """The certificates of a bundle; a bundle that somebody broke counts for nothing."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []


def _names(before: str, own: str) -> str:
    """Both lists in one, without doubles."""
    try:
        listed = orjson.loads(before)
    except ValueError:
        listed = []
    mine: list[str] = orjson.loads(own)
    theirs = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return orjson.dumps(list(dict.fromkeys([*theirs, *mine]))).decode()
