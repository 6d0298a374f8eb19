"""What an answer begins with (RFC 9112, 4; RFC 9110, 6.6.1)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class _Clock:
    """The Date header, made once a second."""

    second = 0
    line = b""


def date() -> bytes:
    """The Date header's line."""
    now = int(time.time())
    if now != _Clock.second:
        _Clock.second = now
        _Clock.line = b"Date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
    return _Clock.line


def head(status: int, headers: Sequence[tuple[str, str]]) -> bytes:
    """Status line and headers without the blank line that ends them."""
    lines = b"".join([f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in headers])
    return b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b"")) + date() + lines
