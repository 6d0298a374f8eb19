"""Bundles as archives in the user's cache, one folder for each content of the checkout."""

import hashlib
import json
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.setup import caches, commands
from components.setup.errors import SetupError
from images.bundle import dependencies, interpreters
from images.bundle.sources import Sources
from images.machine import recipes, trees

# Raised when this folder's code changes what it makes of unchanged sources.
_BUILDER = "1"
PREFIX = "/opt/keelson"

# Every change of a source makes another release, and only those who develop Keelson make many.
_KEPT_SECONDS = 14 * 24 * 3600.0

# The path is that of the release and not of /opt/keelson/current: a module that is first imported after the link has
# moved on must still be this release's. -I and -S keep the host's environment and its own packages out.
_LAUNCHER = """\
#!{python} -IS
import sys

sys.path.insert(0, "{prefix}/{version}/lib")
from {module} import {function}

sys.exit({function}())
"""

_SCHEMAS = """\
import pathlib, sys
from keelson.api import definitions
folder = pathlib.Path(sys.argv[1])
carried = definitions.distribution()
folder.joinpath(definitions.SCHEMAS_FILE).write_bytes(definitions.compact(carried))
folder.joinpath(definitions.DESCRIPTIONS_FILE).write_bytes(definitions.compact_descriptions(carried))
"""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on the operator's machine. `sha256` is the archive's; `binaries` are the names in bin/."""

    archive: Path
    version: str
    sha256: str
    python: str
    architecture: str
    binaries: tuple[str, ...]


def bundle(sources: Sources) -> Bundle:
    """Return the bundle of `sources`, built first if the cache has none; raises SetupError if it cannot be built."""
    if shutil.which("zstd") is None:
        raise SetupError("zstd is not installed", "apt-get install zstd")
    architecture = commands.capture(["dpkg", "--print-architecture"]).strip()
    digest = caches.digest([_BUILDER, interpreters.VERSION, architecture, sources.digest()])
    version = f"{sources.project_version()}+{digest[:8]}"

    def build(folder: Path) -> None:
        _build(sources, folder, version, architecture)

    entry = caches.entry("bundle", digest, build, what="the release bundle", kept_seconds=_KEPT_SECONDS)
    described: dict[str, Any] = json.loads((entry / "bundle.json").read_text())
    return Bundle(
        archive=entry / "bundle.tar.zst",
        version=described["version"],
        sha256=(entry / "bundle.sha256").read_text().strip(),
        python=described["python"],
        architecture=described["architecture"],
        binaries=tuple(described["binaries"]),
    )


def _build(sources: Sources, folder: Path, version: str, architecture: str) -> None:
    missing = sources.missing_entry_points()
    if missing:
        raise SetupError(
            f"no module is there for {', '.join(missing)}", "pyproject.toml names them: mend one of the two"
        )
    image = trees.tree(recipes.load())
    installed = dependencies.tree(sources, image, architecture)
    ours = folder / "ours"
    _unpack_wheel(sources, folder, ours)
    _write_schemas(sources, folder, ours / "keelson" / "api" / "_data")
    interpreters.compile_tree(image, ours, shown_as=f"{PREFIX}/{version}/lib")

    release = folder / version
    release.mkdir()
    shutil.copytree(installed, release / "lib", copy_function=shutil.copyfile)
    shutil.copytree(ours, release / "lib", dirs_exist_ok=True, copy_function=shutil.copyfile)
    shutil.rmtree(ours)
    (release / "bin").mkdir()
    for binary, (module, function) in sources.entry_points().items():
        launcher = release / "bin" / binary
        launcher.write_text(
            _LAUNCHER.format(
                python=interpreters.EXECUTABLE, prefix=PREFIX, version=version, module=module, function=function
            )
        )
        launcher.chmod(0o755)
    described = {
        "version": version,
        "python": interpreters.VERSION,
        "architecture": architecture,
        "binaries": sorted(sources.entry_points()),
        "distributions": dependencies.versions(release / "lib"),
    }
    text = json.dumps(described, indent=1, sort_keys=True) + "\n"
    (release / "bundle.json").write_text(text)
    (folder / "bundle.json").write_text(text)
    _write_digests(release)
    _pack(folder, version)
    shutil.rmtree(release)


def _unpack_wheel(sources: Sources, folder: Path, target: Path) -> None:
    checkout = folder / "checkout"
    sources.write(checkout)
    commands.run(
        [dependencies.uv(), "build", "--wheel", "--quiet", "--out-dir", folder / "wheels", checkout],
        label="building the wheel",
        remedy="see the lines above",
    )
    (wheel,) = (folder / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    shutil.rmtree(folder / "wheels")


def _write_schemas(sources: Sources, folder: Path, target: Path) -> None:
    # In a process of its own, from the same snapshot: the toolkit does not import the cluster's code.
    target.mkdir(exist_ok=True)
    commands.capture(
        [sys.executable, "-c", _SCHEMAS, target],
        environment={"PYTHONPATH": str(folder / "checkout" / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        directory=folder,
    )
    shutil.rmtree(folder / "checkout")


def _write_digests(release: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(release)}\n"
        for path in sorted(release.rglob("*"))
        if path.is_file()
    ]
    (release / "files.sha256").write_text("".join(lines))


def _pack(folder: Path, version: str) -> None:
    """Pack so that the same release is the same archive, byte for byte, whoever builds it and when."""
    archive = folder / "bundle.tar.zst"
    commands.run(
        [
            "tar",
            "--create",
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--format=posix",
            "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
            "--use-compress-program=zstd -T2 -6",
            f"--file={archive}",
            f"--directory={folder}",
            version,
        ],
        label="packing the release bundle",
        remedy="is there room in the cache?",
    )
    with archive.open("rb") as file:
        (folder / "bundle.sha256").write_text(hashlib.file_digest(file, "sha256").hexdigest() + "\n")
