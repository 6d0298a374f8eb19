"""Folders of files that change all at once: each generation is a folder of its own, one link names the current one.

Users see `key -> ..data/key` and `..data -> ..<generation>`; replacing that second link by rename(2) switches every
file in one step, so a reader never sees half of an update (the layout is documented with ConfigMap volumes).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CURRENT, _NEXT = "..data", "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """One file: content, permission bits, and the owner where it is not root."""

    content: bytes
    mode: int
    uid: int = -1


class PayloadError(Exception):
    """A path of the payload that can't be written, such as one that climbs out of the folder."""


def write(folder: Path, files: Mapping[str, File], *, gid: int = -1) -> bool:
    """Make the folder hold exactly these files (by relative path); True where anything changed."""
    for path in files:
        parts = Path(path).parts
        if not parts or Path(path).is_absolute() or ".." in parts or parts[0].startswith(".."):
            raise PayloadError(f"invalid path {path!r}")
    folder.mkdir(parents=True, exist_ok=True)
    current = _current(folder)
    if current is not None and _read(current) == {path: (f.content, f.mode & 0o7777) for path, f in files.items()}:
        return False
    generation = _generation(folder)
    for path, file in files.items():
        target = generation / path
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.content)
            os.fchown(stream.fileno(), file.uid, gid)
            os.fchmod(stream.fileno(), file.mode)
    for inner in [folder, generation, *(found for found in generation.rglob("*") if found.is_dir())]:
        inner.chmod(0o755)
        if gid >= 0:
            os.chown(inner, -1, gid)
    _switch(folder, generation)
    tops = {Path(path).parts[0] for path in files}
    for top in tops:
        link = folder / top
        if not link.is_symlink():
            link.symlink_to(f"{_CURRENT}/{top}")
    for entry in folder.iterdir():
        if entry.name.startswith("..") or entry.name in tops:
            continue
        entry.unlink()
    if current is not None:
        shutil.rmtree(current)
    return True


def _current(folder: Path) -> Path | None:
    link = folder / _CURRENT
    if not link.is_symlink():
        return None
    found = folder / link.readlink().name
    return found if found.is_dir() else None


def _read(generation: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(found.relative_to(generation)): (found.read_bytes(), found.stat().st_mode & 0o7777)
        for found in generation.rglob("*")
        if found.is_file()
    }


def _generation(folder: Path) -> Path:
    # Numbered on from what is there: unique without a clock, and a crash's leftovers are never written into.
    numbers = [int(e.name[2:]) for e in folder.iterdir() if e.name[2:].isdecimal() and e.name.startswith("..")]
    generation = folder / f"..{max(numbers, default=0) + 1}"
    generation.mkdir(mode=0o755)
    return generation


def _switch(folder: Path, generation: Path) -> None:
    fresh = folder / _NEXT
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(generation.name)
    fresh.rename(folder / _CURRENT)
