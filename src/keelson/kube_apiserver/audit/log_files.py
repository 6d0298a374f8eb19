"""The audit log in a file that is turned over when it is large enough; old ones go by number and by age.

Names of what was turned over are those that log readers know from upstream: `audit-2006-01-02T15-04-05.000.log`.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

_MEGABYTE = 1024 * 1024
_STAMP = "%Y-%m-%dT%H-%M-%S"


class LogFile:
    """One log. `path` "-" is standard output; a limit of 0 is none."""

    def __init__(
        self, path: str, *, megabytes: int = 100, backups: int = 0, days: int = 0, compress: bool = False
    ) -> None:
        self._path = None if path == "-" else Path(path)
        self._most = megabytes * _MEGABYTE
        self._backups = backups
        self._days = days
        self._compress = compress
        self._size = 0
        if self._path is None:
            self._descriptor = os.dup(sys.stdout.fileno())
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._open()

    def _open(self) -> int:
        assert self._path is not None
        # Who asked for what is nobody's business but the administrator's.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(descriptor).st_size
        return descriptor

    def write(self, data: bytes) -> None:
        """Append whole lines. Raises OSError."""
        if self._path is not None and self._most and self._size and self._size + len(data) > self._most:
            self.turn_over()
        self._size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def turn_over(self) -> None:
        """Begin another file, and remove what is too old or too much."""
        assert self._path is not None
        now = datetime.now(UTC)
        stamp = f"{now.strftime(_STAMP)}.{now.microsecond // 1000:03d}"
        aside = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        self._path.rename(aside)
        os.close(self._descriptor)
        self._descriptor = self._open()
        if self._compress:
            with aside.open("rb") as plain, gzip.open(f"{aside}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            aside.unlink()
        self._prune(now)

    def _prune(self, now: datetime) -> None:
        assert self._path is not None
        name = re.compile(
            re.escape(self._path.stem) + r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.\d{3}"
            + re.escape(self._path.suffix) + r"(\.gz)?"
        )  # fmt: skip
        old = sorted((each for each in self._path.parent.iterdir() if name.fullmatch(each.name)), reverse=True)
        kept = old[: self._backups] if self._backups else old
        for each in old:
            made = name.fullmatch(each.name)
            assert made is not None
            born = datetime.strptime(made[1], _STAMP).replace(tzinfo=UTC)
            if each not in kept or (self._days and born < now - timedelta(days=self._days)):
                each.unlink()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
