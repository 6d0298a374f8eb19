"""Streams a container's log to a client: the end of it, since a moment, with times, and on as it grows."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from keelson.api import meta
from keelson.kubelet import log_files

_CHUNK = 256 * 1024
# Also without a change of the file one must see that the container ended.
_PATIENCE = 1.0

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """PodLogOptions; a limit of -1 is none."""

    follow: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail_lines: int = -1
    limit_bytes: int = -1
    stream: str = "All"


def options(query: dict[str, str], now: datetime) -> Options:
    """The options of a request's query. Raises ValueError with a sentence for its sender."""

    def number(name: str) -> int:
        text = query.get(name, "")
        if not text:
            return -1
        if not text.isdecimal():
            raise ValueError(f"{name} must be a whole number of at least 0, not {text!r}")
        return int(text)

    since = meta.parse_time(query["sinceTime"]) if query.get("sinceTime") else None
    if (seconds := number("sinceSeconds")) >= 0:
        if since is not None:
            raise ValueError("at most one of sinceTime and sinceSeconds may be given")
        since = now - timedelta(seconds=seconds)
    stream = query.get("stream") or "All"
    if stream not in {"All", "Stdout", "Stderr"}:
        raise ValueError(f"stream must be All, Stdout or Stderr, not {stream!r}")
    return Options(
        follow=query.get("follow", "") in {"true", "1"},
        timestamps=query.get("timestamps", "") in {"true", "1"},
        since=since,
        tail_lines=number("tailLines"),
        limit_bytes=number("limitBytes"),
        stream=stream,
    )


class _Changes:
    """Tells of changes in a folder (inotify(7))."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask) < 0:
            code = ctypes.get_errno()
            os.close(self._descriptor)
            raise OSError(code, os.strerror(code), str(folder))
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        os.read(self._descriptor, 65536)
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a change, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def close(self) -> None:
        """Watch no more."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


async def stream(path: Path, wanted: Options, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's bytes as the options want them. `is_running` tells whether more may come."""
    changes = _Changes(path.parent) if wanted.follow else None
    opened: IO[bytes] | None = None
    budget = wanted.limit_bytes
    rest = b""
    try:
        opened = path.open("rb")
        if wanted.tail_lines >= 0 and wanted.since is None and wanted.stream == "All":
            opened.seek(log_files.start_of_tail(opened, wanted.tail_lines))
            skip = 0
        else:
            skip = _skipped(opened, wanted)
        while True:
            # Asked before reading: what was written up to the end is then read below.
            running = is_running()
            chunk = opened.read(_CHUNK)
            if chunk:
                *lines, rest = (rest + chunk).split(b"\n")
                out, skip = _render(lines, wanted, skip)
                if 0 <= budget <= len(out):
                    yield out[:budget]
                    return
                budget -= len(out) if budget > 0 else 0
                if out:
                    yield out
                continue
            fresh = _replaced(path, opened)
            if fresh is not None:
                opened.close()
                opened = fresh
                continue
            if changes is None or not running:
                return
            await changes.wait(_PATIENCE)
    finally:
        if changes is not None:
            changes.close()
        if opened is not None:
            opened.close()


def _replaced(path: Path, opened: IO[bytes]) -> IO[bytes] | None:
    """The new file at the path, where the open one was rotated away."""
    try:
        if path.stat().st_ino == os.fstat(opened.fileno()).st_ino:
            return None
        return path.open("rb")
    except FileNotFoundError:
        return None


def _chosen(line: bytes, wanted: Options) -> log_files.Entry | None:
    entry = log_files.parse(line)
    if entry is None or (wanted.stream != "All" and entry.stream != wanted.stream.lower().encode()):
        return None
    if wanted.since is not None and log_files.moment(entry.time) < wanted.since:
        return None
    return entry


def _skipped(opened: IO[bytes], wanted: Options) -> int:
    """How many chosen entries come before the last `tail_lines` of them; 0 where no tail is wanted."""
    if wanted.tail_lines < 0:
        return 0
    count = sum(1 for line in opened if _chosen(line.rstrip(b"\n"), wanted) is not None)
    opened.seek(0)
    return max(0, count - wanted.tail_lines)


def _render(lines: list[bytes], wanted: Options, skip: int) -> tuple[bytes, int]:
    out = []
    for line in lines:
        entry = _chosen(line, wanted)
        if entry is None:
            continue
        if skip:
            skip -= 1
            continue
        out.append(entry.time + b" " + entry.text if wanted.timestamps else entry.text)
    return b"".join(out), skip
