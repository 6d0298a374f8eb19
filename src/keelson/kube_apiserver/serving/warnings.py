"""Warnings to the client as headers: `Warning: 299 - "text"` (RFC 7234, section 5.5; KEP-1693). Pure.

Texts come from webhooks and policies too, so that they are bounded: where all together are longer than headers may be,
each is cut, and what then is still too much is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

# Upstream's bounds, in characters: all texts together, and each where they are more.
_MOST_TOGETHER, _MOST_EACH = 4096, 256
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")


def headers(texts: Iterable[str]) -> list[str]:
    """The values of the headers, each text once, in their order."""
    found = list(dict.fromkeys(text for text in texts if text))
    if sum(map(len, found)) > _MOST_TOGETHER:
        written, kept = 0, []
        for text in found:
            if written >= _MOST_TOGETHER:
                break
            kept.append(text[:_MOST_EACH])
            written += len(kept[-1])
        found = kept
    return [_value(text) for text in found]


def _value(text: str) -> str:
    # A line's end in a header would begin another header.
    quoted = text.translate(_CONTROLS).replace("\\", "\\\\").replace('"', '\\"')
    # Headers are written byte by byte; clients read these bytes as UTF-8.
    return f'299 - "{quoted}"'.encode("utf-8", "replace").decode("latin-1")
