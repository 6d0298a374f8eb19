"""Container logs in the CRI's layout: one line an entry, "<RFC 3339 nano> <stdout|stderr> <P|F> <content>".

A tag P marks a part of a line, whose rest follows in the stream's next entry. Rules: the CRI logging document ("CRI:
Dockershim replacement, container log"), PodLogOptions of the API reference.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the time as it was written, the stream, whether the line goes on, and the bytes."""

    time: bytes
    stream: bytes
    partial: bool
    content: bytes

    @property
    def text(self) -> bytes:
        """The content with the newline that a full entry ends with."""
        return self.content if self.partial else self.content + b"\n"


def parse(line: bytes) -> Entry | None:
    """The entry of one line without its newline; None where the line is none."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in {b"stdout", b"stderr"}:
        return None
    return Entry(parts[0], parts[1], parts[2].split(b":")[0] == b"P", parts[3])


def moment(text: bytes) -> datetime:
    """The time of an entry, to the microsecond. ValueError where it is none."""
    decoded = text.decode("ascii", errors="strict")
    head, dot, rest = decoded.partition(".")
    if not dot:
        return datetime.fromisoformat(decoded)
    digits = 0
    while digits < len(rest) and rest[digits].isdigit():
        digits += 1
    return datetime.fromisoformat(f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}")


def start_of_tail(stream: IO[bytes], lines: int) -> int:
    """The offset at which the last so many lines begin; the file's end for 0."""
    end = stream.seek(0, 2)
    if lines <= 0:
        return end
    position, found, newest = end, 0, True
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        stream.seek(position)
        block = stream.read(size)
        index = len(block)
        if newest and block.endswith(b"\n"):
            # The file's last newline ends its last line and begins none.
            index -= 1
        newest = False
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            found += 1
            if found == lines:
                return position + index + 1
    return 0


def tail(path: Path, *, lines: int, limit: int) -> bytes:
    """The last lines of a log without times, at most `limit` bytes of them; b"" where there is no log."""
    try:
        with path.open("rb") as stream:
            stream.seek(start_of_tail(stream, lines))
            raw = stream.read()
    except FileNotFoundError:
        return b""
    return b"".join(entry.text for line in raw.splitlines() if (entry := parse(line)) is not None)[-limit:]


def rotated(path: Path) -> list[Path]:
    """The log's older files, the oldest first."""
    found = [each for each in path.parent.glob(path.name + ".*") if not each.name.endswith(".tmp")]
    return sorted(found, key=lambda each: each.name)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a rotated file, which may be compressed."""
    source: IO[bytes]
    with path.open("rb") as source:
        for line in gzip.GzipFile(fileobj=source) if path.name.endswith(".gz") else source:
            yield line.rstrip(b"\n")
