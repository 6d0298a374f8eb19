"""Which answers are compressed, and that what comes of it is the answer."""

from __future__ import annotations

import gzip

import pytest

from keelson.kube_apiserver.serving import compression
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.negotiation import CBOR, JSON, PROTOBUF, YAML

_LARGE = 200_000


@pytest.mark.parametrize(
    ("media_type", "size", "accepted", "expected"),
    [
        *((media_type, _LARGE, "gzip", True) for media_type in (CBOR, JSON, PROTOBUF, YAML)),
        (JSON, 100_000, "gzip", False),
        (JSON, _LARGE, "", False),
        (JSON, _LARGE, "br, gzip;q=0", False),
        ("text/plain", _LARGE, "gzip", False),
    ],
)
def test_what_is_compressed(media_type: str, size: int, accepted: str, expected: bool) -> None:
    request = Request("GET", "/x", {"accept-encoding": accepted}, b"", None)
    assert compression.is_meant(request, Response(200, b"", media_type), size) is expected


def test_what_comes_encoded_is_left() -> None:
    request = Request("GET", "/x", {"accept-encoding": "gzip"}, b"", None)
    encoded = Response(200, b"", JSON, [("Content-Encoding", "gzip")])
    assert not compression.is_meant(request, encoded, _LARGE)


def test_slices_are_one_body() -> None:
    parts = [b"head", bytes(range(256)) * 2_000, b"tail"]
    assert gzip.decompress(b"".join(compression.slices(parts))) == b"".join(parts)
