"""The locked dependencies as hosts get them, in the cache by the lock's digest: they change far less than we do."""

import shutil
from pathlib import Path

from components.setup import caches, commands
from components.setup.errors import SetupError
from images.bundle import interpreters
from images.bundle.sources import Sources

_BUILDER = "1"
# Wheels for this and every later C library; Debian 13 has 2.41.
_PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}


def tree(sources: Sources, image: Path, architecture: str) -> Path:
    """Return the folder with every dependency installed and byte-compiled.

    `architecture` is Debian's word. Raises SetupError if uv is missing, a wheel for the host cannot be had, or one does
    not have the digest that the lock names.
    """
    if architecture not in _PLATFORMS:
        raise SetupError(f"no release bundle for {architecture}", f"hosts must be {' or '.join(_PLATFORMS)}")
    requirements = _requirements(sources)
    key = caches.digest([_BUILDER, interpreters.VERSION, architecture, requirements])

    def build(folder: Path) -> None:
        _install(folder, requirements, image, architecture)

    return caches.entry("bundle-dependencies", key, build, what="the release bundle's dependencies") / "lib"


def uv() -> str:
    """Return uv's path: the one on PATH, or the one that set-up put into the cache; SetupError if there is neither."""
    found = shutil.which("uv")
    # Set-up keeps one folder for each version, and removes none.
    kept = sorted((caches.root() / "uv").glob("*/bin/uv"), key=lambda path: path.stat().st_mtime)
    if found is None and not kept:
        raise SetupError("uv is not on PATH", "make up installs it; or: pip install uv")
    return found or str(kept[-1])


def versions(lib: Path) -> dict[str, str]:
    """Return the version of every distribution in `lib`, by name (the core metadata specification)."""
    found = {}
    for metadata in sorted(lib.glob("*.dist-info/METADATA")):
        fields = dict(
            line.split(": ", 1) for line in metadata.read_text().split("\n\n", 1)[0].splitlines() if ": " in line
        )
        found[fields["Name"].lower()] = fields["Version"]
    return found


def _requirements(sources: Sources) -> str:
    """Return the lock as requirements with digests, for the daemons alone."""
    return commands.capture(
        [
            uv(),
            "export",
            "--quiet",
            "--frozen",
            "--no-default-groups",
            "--no-emit-project",
            "--no-header",
            "--no-annotate",
        ],
        directory=_checked_out(sources),
    )


def _checked_out(sources: Sources) -> Path:
    """Return a folder in the cache with just what uv reads, as it was when `sources` were read."""
    names = ("pyproject.toml", "uv.lock")
    key = caches.digest([sources.files[name].decode() for name in names])

    def build(folder: Path) -> None:
        for name in names:
            (folder / name).write_bytes(sources.files[name])

    return caches.entry("bundle-locks", key, build, what="the lock of the release bundle")


def _install(folder: Path, requirements: str, image: Path, architecture: str) -> None:
    listed = folder / "requirements.txt"
    listed.write_text(requirements)
    lib = folder / "lib"
    commands.run(
        [
            uv(),
            "pip",
            "install",
            "--no-config",
            "--target",
            lib,
            "--python-version",
            interpreters.VERSION,
            "--python-platform",
            _PLATFORMS[architecture],
            "--require-hashes",
            "--only-binary=:all:",
            "--no-deps",
            "--link-mode=copy",
            "--requirements",
            listed,
        ],
        label="installing the release bundle's dependencies",
        remedy="is the package index within reach?",
    )
    # Two thirds of numpy's modules, and never imported on a host.
    for tests in sorted(lib.glob("numpy/**/tests")):
        if tests.is_dir():
            shutil.rmtree(tests)
    if (lib / "bin").is_dir():
        shutil.rmtree(lib / "bin")
    (lib / ".lock").unlink(missing_ok=True)
    interpreters.compile_tree(image, lib, shown_as="/opt/keelson/current/lib")
