"""Folders in memory for what must not reach a disk: role variables, kubeconfigs, private keys of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from components.provider.kinds import ResourceError

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders of mode 0700 are made in it
_PREFIX: Final = "keelson-run-"


@contextmanager
def private_directory() -> Iterator[Path]:
    """A folder on a tmpfs, mode 0700, gone afterwards; those of killed runs are removed first.

    Raises `ResourceError` where /dev/shm is no tmpfs.
    """
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    if not any(fields[1] == str(_MEMORY) and fields[2] == "tmpfs" for fields in mounts):
        raise ResourceError(f"{_MEMORY} is not a tmpfs: role variables hold secrets, which must not reach a disk")
    _clear_abandoned()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY))
    try:
        yield path
    finally:
        # ssh's control master may remove its own socket at the same moment.
        shutil.rmtree(path, onerror=_unless_gone)


def _unless_gone(function: object, path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    del function, path
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


def _clear_abandoned() -> None:
    for path in _MEMORY.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).split("-")[0]
        # A run that ends right now removes its own.
        if not Path("/proc", owner).exists():
            shutil.rmtree(path, onerror=_unless_gone)
