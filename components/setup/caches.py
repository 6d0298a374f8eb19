"""What is downloaded or built once and then shared by every clone of a user.

An entry is a folder named by the digest of everything it was made from, so it is never changed, only added: it is
built beside its place under a lock and renamed into it. A killed build leaves a folder that the next holder of the
lock removes.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.setup import progress


def root() -> Path:
    """Return the cache of this user: $XDG_CACHE_HOME/keelson (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative values ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "keelson"


def digest(words: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return 16 hexadecimal digits that change when a word, or the content or name of a file, changes."""
    state = hashlib.sha256()
    for word in words:
        state.update(f"{len(word)}:{word}".encode())
    for file in files:
        content = file.read_bytes()
        state.update(f"{file.name}:{len(content)}:".encode() + content)
    return state.hexdigest()[:16]


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, and say so if another process has it. The kernel frees it with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"another run is busy with {what}; waiting for it")
            with progress.heartbeat(f"waiting for another run: {what}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str, build: Callable[[Path], None], *, what: str, kept_seconds: float | None = None) -> Path:
    """Return the folder `<cache>/<kind>/<key>`, filled by `build` (given an empty folder) if it is not there yet.

    Where `kept_seconds` is given, whoever adds an entry removes those of its kind that nobody asked for in that time.
    """
    place = root() / kind / key
    if _used(place):
        return place
    with locked(root() / kind / f"{key}.lock", what):
        if _used(place):
            return place
        if kept_seconds is not None:
            _forget_unused(place.parent, time.time() - kept_seconds)
        for left in place.parent.glob(f".{key}.*"):
            shutil.rmtree(left)
        partial = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=place.parent))
        try:
            build(partial)
            partial.chmod(0o755)
            partial.rename(place)
        finally:
            if partial.exists():
                shutil.rmtree(partial)
    return place


def _used(place: Path) -> bool:
    """Tell whether the entry is there, and note that it was asked for."""
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


def _forget_unused(kind: Path, since: float) -> None:
    for place in kind.iterdir():
        # Hidden folders are being built; a lock may be held, and costs nothing.
        if place.is_dir() and not place.name.startswith(".") and place.stat().st_mtime < since:
            progress.say(f"forgetting {place.name} of the cache {kind.name}: long not used")
            shutil.rmtree(place)
