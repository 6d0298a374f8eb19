"""Files that are either whole or not there, whenever the writer is killed."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write `content` beside `path` and rename it into place, on the disk before the name shows."""
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(partial).rename(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
