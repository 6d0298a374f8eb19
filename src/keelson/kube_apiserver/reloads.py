"""Files that are read again when they change, while the server serves: certificates, configurations.

What can't be read leaves what was read before in force, and is tried again when the file changes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from keelson.component_base import metrics
from keelson.component_base.configurations import ConfigurationError

from .reload_metrics import ConfigurationMetrics

log = logging.getLogger(__name__)

# A few calls of stat(2) a second cost nothing, and need no watch that a file system may not have.
_SECONDS = 1.0

_RELOADS = metrics.counter(
    "apiserver_file_reloads_total", "Reloads of files by what they hold and whether they succeeded.", ("what", "status")
)

_Stamp = tuple[tuple[int, int, int], ...]


class _Watched(NamedTuple):
    what: str
    paths: Sequence[Path]
    reload: Callable[[], Awaitable[None] | None]
    metrics: ConfigurationMetrics | None


class Reloads:
    """The files of one server, whose `identity` metrics name."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._watched: list[_Watched] = []
        self._stamps: list[_Stamp] = []

    def add(
        self, what: str, paths: Sequence[str], reload: Callable[[], Awaitable[None] | None], *, kind: str = ""
    ) -> None:
        """Call (and await) `reload` when one of the files changes.

        It may raise OSError, ValueError, ConfigurationError; what was read before then stays in force. `kind` is what
        the file configures where upstream has metrics of it: authentication, authorization or encryption.
        """
        measured = ConfigurationMetrics(kind, self._identity) if kind else None
        watched = _Watched(what, [Path(path) for path in paths], reload, measured)
        if measured is not None:
            measured.read(watched.paths[0].read_bytes())
        self._watched.append(watched)
        self._stamps.append(_stamp(watched.paths))

    async def run(self) -> None:
        """Look for changes for ever."""
        while self._watched:
            await asyncio.sleep(_SECONDS)
            for index, watched in enumerate(self._watched):
                stamp = _stamp(watched.paths)
                if stamp != self._stamps[index]:
                    self._stamps[index] = stamp
                    await self._reload(watched)

    async def _reload(self, watched: _Watched) -> None:
        try:
            # Before it is reloaded: what is written meanwhile is read again a second later.
            content = watched.paths[0].read_bytes()
            waiting = watched.reload()
            if waiting is not None:
                await waiting
        except (OSError, ValueError, ConfigurationError) as error:
            _count(watched, "failure")
            log.error("%s can't be reloaded and stay as they were: %s", watched.what, error)
        except Exception:
            # Whatever is wrong with a file, the server goes on with what it has.
            _count(watched, "failure")
            log.exception("%s can't be reloaded and stay as they were", watched.what)
        else:
            _count(watched, "success")
            if watched.metrics is not None:
                watched.metrics.read(content)
            log.info("%s are reloaded", watched.what)


def _count(watched: _Watched, status: str) -> None:
    _RELOADS.labels(watched.what, status).inc()
    if watched.metrics is not None:
        watched.metrics.count(status)


def _stamp(paths: Sequence[Path]) -> _Stamp:
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            # Between two states, as when a file is replaced by hand: what comes next is another stamp.
            found.append((0, 0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(found)
