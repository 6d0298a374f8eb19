"""The container images that specs name, built here and imported on every host of a stack, since no registry need be in
reach. Only a conformance run wants them, so `make up` does not carry them.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from components.setup import progress
from components.setup.errors import SetupError
from images.machine import recipes
from images.oci import archives

_IMAGES = Path(__file__).parent / "images"
_CTR = "ctr --namespace k8s.io images"


def build() -> list[Path]:
    """Return the archives of all test images, those built first that the cache lacks."""
    recipe = recipes.load()
    return [archives.archive(path, recipe).path for path in sorted(_IMAGES.glob("*/image.yaml"))]


def bring(found: list[Path], host: str, ssh: Callable[[str], list[str]]) -> None:
    """Import on `host` what it lacks of the archives `found`, and pin it, as the kubelet would remove what no registry
    can give back. `ssh` gives the command line that runs a command there. Raises SetupError with what it said.
    """
    there = _images(_run(ssh(f"{_CTR} list"), host))
    for archive in found:
        wanted = contents(archive)
        if wanted.items() <= there.items():
            continue
        progress.say(f"{host}: importing {', '.join(wanted)}")
        names = " ".join(wanted)
        with archive.open("rb") as stream:
            _run(
                ssh(
                    f"{_CTR} import - && "
                    f"for name in {names}; do {_CTR} label $name io.cri-containerd.pinned=pinned; done"
                ),
                host,
                stdin=stream.fileno(),
            )


def contents(archive: Path) -> dict[str, str]:
    """Return the digests of an image archive's manifests by the names it gives them (image-spec, index.json)."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile("index.json")
        if file is None:
            raise SetupError(f"{archive} is no image layout", "remove it; it is built again")
        index = json.load(file)
    return {entry["annotations"]["io.containerd.image.name"]: entry["digest"] for entry in index["manifests"]}


def _images(table: str) -> Mapping[str, str]:
    # Columns of `ctr images list`: name, type, digest, and more.
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}


def _run(command: list[str], host: str, stdin: int = subprocess.DEVNULL) -> str:
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise SetupError(f"{host}: ctr ended with {done.returncode}", "; ".join(told[-3:]) or "without a word")
    return done.stdout
