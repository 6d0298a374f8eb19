"""Spans as OpenTelemetry's collectors take them (OTLP 1.9): an ExportTraceServiceRequest in protobuf.

Few fields of few messages are ever written, so they are written by hand, by their numbers in opentelemetry-proto's
`trace.proto`, `common.proto` and `resource.proto` (wire format: Protocol Buffers, "Encoding").
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .spans import Attributes, Event, Link, Span, Value

_STATUS_ERROR = 2
# Flags of a span and of a link (SpanFlags): sampled; it is known whether the parent is remote; it is.
_SAMPLED, _KNOWN, _REMOTE = 0x1, 0x100, 0x200


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    # A lone surrogate, as in a path of bad UTF-8, must not spoil the whole batch.
    return _bytes(number, text.encode("utf-8", "replace"))


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & (1 << 64) - 1)


def _fixed64(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + value.to_bytes(8, "little")


def _fixed32(number: int, value: int) -> bytes:
    return _varint(number << 3 | 5) + value.to_bytes(4, "little")


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return _text(1, value)
    if isinstance(value, bool):
        return _integer(2, value)
    if isinstance(value, int):
        return _integer(3, value)
    return _varint(4 << 3 | 1) + struct.pack("<d", value)


def _attributes(number: int, attributes: Attributes) -> bytes:
    return b"".join([_bytes(number, _text(1, key) + _bytes(2, _value(value))) for key, value in attributes.items()])


def _event(event: Event) -> bytes:
    return _fixed64(1, event.time) + _text(2, event.name) + _attributes(3, event.attributes)


def _link(link: Link) -> bytes:
    flags = _KNOWN | _REMOTE | (_SAMPLED if link.sampled else 0)
    named = _bytes(1, link.trace.to_bytes(16, "big")) + _bytes(2, link.span.to_bytes(8, "big"))
    return named + (_text(3, link.state) if link.state else b"") + _fixed32(6, flags)


def _status(span: Span) -> bytes:
    if span.error is None:
        return b""
    return _bytes(15, (_text(2, span.error) if span.error else b"") + _integer(3, _STATUS_ERROR))


def _span(span: Span) -> bytes:
    parts = [_bytes(1, span.trace.to_bytes(16, "big")), _bytes(2, span.identity.to_bytes(8, "big"))]
    if span.state:
        parts.append(_text(3, span.state))
    if span.parent:
        parts.append(_bytes(4, span.parent.to_bytes(8, "big")))
    remote = _REMOTE if span.remote else 0
    parts += [
        _text(5, span.name),
        _integer(6, span.kind),
        _fixed64(7, span.start),
        _fixed64(8, span.end),
        _attributes(9, span.attributes),
        *(_bytes(11, _event(each)) for each in span.events),
        *(_bytes(13, _link(each)) for each in span.links),
        _status(span),
        _fixed32(16, _SAMPLED | _KNOWN | remote),
    ]
    return b"".join(parts)


def request(resource: Attributes, scope: str, spans: Sequence[Span]) -> bytes:
    """The message that exports spans; `resource` says whose they are, `scope` what made them."""
    scoped = _bytes(1, _text(1, scope)) + b"".join([_bytes(2, _span(span)) for span in spans])
    return _bytes(1, _bytes(1, _attributes(1, resource)) + _bytes(2, scoped))
