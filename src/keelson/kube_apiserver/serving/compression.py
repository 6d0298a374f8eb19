"""Large answers as gzip, while they are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import pieces
from .messages import Request, Response
from .negotiation import CBOR, JSON, PROTOBUF, YAML, takes_gzip

# Answers above this size are compressed for clients that take it, as upstream's are (KEP-156, APIResponseCompression).
_LEAST_BYTES = 128 * 1024
_TYPES = frozenset({CBOR, JSON, PROTOBUF, YAML})
# What is compressed in one go: about a millisecond, after which others get their turn.
_SLICE = 1 << 17
HEADERS = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))


def is_meant(request: Request, response: Response, size: int) -> bool:
    """Whether an answer of `size` bytes is one to compress, and the client takes gzip."""
    return (
        size > _LEAST_BYTES
        and response.content_type in _TYPES
        and takes_gzip(request.headers.get("accept-encoding", ""))
        and all(name != "Content-Encoding" for name, _ in response.headers)
    )


def slices(parts: Sequence[bytes]) -> Iterator[bytes]:
    """The gzip body of the parts, each slice made when it is asked for.

    Pieces that it shares with answers before it are compressed already.
    """
    body, ready, work = pieces.Body(), [pieces.HEADER], 0
    for part in parts:
        for raw in [part] if len(part) <= _SLICE else _cut(part):
            # A piece that was packed before costs what its checksum does.
            work += len(raw) if getattr(raw, "packed", None) is None else len(raw) >> 6
            ready.append(body.add(pieces.pack(raw)))
            if work >= _SLICE:
                yield b"".join(ready)
                ready, work = [], 0
    ready.append(body.end())
    yield b"".join(ready)


def _cut(part: bytes) -> list[bytes]:
    return [part[start : start + _SLICE] for start in range(0, len(part), _SLICE)]
