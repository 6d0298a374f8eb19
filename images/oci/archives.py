"""Container images as archives in the user's cache, one for each content of what they are made from."""

import json
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.setup import caches, commands, go_modules, kubernetes_programs
from images import definitions as checked
from images.machine import trees
from images.machine.recipes import Recipe
from images.oci import layouts

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_TOOLS = _ROOT / "tools"
SCHEMA = _HERE / "image.schema.json"
# Raised when this folder's code changes what it makes of an unchanged image.yaml.
_BUILDER = "1"
# Of packages that an image holds whole: what no program reads.
_LEFT_OUT = ("/boot", "/dev/", "/usr/share/doc/", "/usr/share/locale/", "/usr/share/man/", "/var/cache/", "/var/log/")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An image on the operator's machine: the reference that pods name, and the file for `ctr images import`."""

    name: str
    path: Path


def definitions() -> list[Path]:
    """Return the image.yaml of every image of the project, in order of their folders."""
    return sorted(_HERE.glob("*/image.yaml"))


def load(path: Path) -> dict[str, Any]:
    """Return the content of an image.yaml; raise SetupError naming the key that is wrong."""
    return checked.load(path, SCHEMA)


def archive(path: Path, recipe: Recipe) -> Archive:
    """Return the image that the image.yaml at `path` describes, built first if the cache has none.

    Packages come from the release and archive that `recipe`, the machine image's, names. Raises SetupError if it
    cannot be built.
    """
    definition = load(path)
    architecture = commands.capture(["dpkg", "--print-architecture"]).strip()
    modules = sorted({_TOOLS / module for file in definition["files"].values() if (module := _module(file))})
    words = [_BUILDER, architecture, recipe.suite, json.dumps(definition, sort_keys=True)]
    key = caches.digest(words, [file for module in modules for file in sorted(module.iterdir()) if file.is_file()])
    name: str = definition["name"]
    file_name = f"{path.parent.name}.tar"

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            image = _image(definition, recipe, architecture, Path(scratch))
        (folder / file_name).write_bytes(layouts.archive(image))

    entry = caches.entry("oci", key, build, what=f"the container image {name}")
    return Archive(name=name, path=entry / file_name)


def _image(definition: dict[str, Any], recipe: Recipe, architecture: str, scratch: Path) -> layouts.Image:
    packages = scratch / "packages"
    if "packages" in definition:
        _unpack(definition["packages"], recipe, packages)
    files, folders = _tree(packages) if definition.get("whole") else ({}, {})
    files |= {path: _file(file, packages, scratch) for path, file in definition["files"].items()}
    if "applets" in definition:
        busybox = definition["applets"]
        program = packages / definition["files"][busybox]["package_file"].lstrip("/")
        folder = busybox.rpartition("/")[0]
        for applet in commands.capture([program, "--list"]).split():
            files.setdefault(f"{folder}/{applet}", layouts.File(link=busybox))
    return layouts.Image(
        name=definition["name"],
        aliases=tuple(definition.get("aliases", ())),
        architecture=architecture,
        files=files,
        folders=folders | {path: int(mode, 8) for path, mode in definition.get("folders", {}).items()},
        environment=definition.get("environment", {}),
        entrypoint=tuple(definition.get("entrypoint", ())),
        command=tuple(definition.get("command", ())),
        user=definition.get("user", ""),
        working_directory=definition.get("working_directory", ""),
    )


def _module(file: dict[str, Any]) -> str | None:
    # The folder of tools/ whose pins decide what the file holds.
    if "kubernetes_program" in file or "kubernetes_file" in file:
        return "kubernetes"
    return file.get("go_module")


def _tree(root: Path) -> tuple[dict[str, layouts.File], dict[str, int]]:
    """Return the files and the folders under `root` as an image holds them, all owned by root; no device nodes."""
    files: dict[str, layouts.File] = {}
    folders: dict[str, int] = {}
    for place in root.rglob("*"):
        path = f"/{place.relative_to(root)}"
        if path.startswith(_LEFT_OUT):
            continue
        mode = place.lstat().st_mode
        if stat.S_ISLNK(mode):
            files[path] = layouts.File(link=str(place.readlink()))
        elif stat.S_ISDIR(mode):
            folders[path] = stat.S_IMODE(mode)
        elif stat.S_ISREG(mode):
            files[path] = layouts.File(content=place.read_bytes(), mode=stat.S_IMODE(mode))
    return files, folders


def _file(file: dict[str, Any], packages: Path, scratch: Path) -> layouts.File:
    if "package_file" in file:
        content = (packages / file["package_file"].lstrip("/")).read_bytes()
    elif "go_module" in file:
        output = scratch / file["go_module"]
        go_modules.build(_TOOLS / file["go_module"], ".", output, linker_flags="-buildid=")
        content = output.read_bytes()
    elif "kubernetes_program" in file:
        content = kubernetes_programs.build(_ROOT, file["kubernetes_program"]).read_bytes()
    elif "kubernetes_file" in file:
        content = (kubernetes_programs.sources(_ROOT) / file["kubernetes_file"]).read_bytes()
    elif "link" in file:
        return layouts.File(link=file["link"])
    else:
        content = file["content"].encode()
    return layouts.File(
        content=content, mode=int(file.get("mode", "0644"), 8), capabilities=tuple(file.get("capabilities", ()))
    )


def _unpack(packages: list[str], recipe: Recipe, folder: Path) -> None:
    mirror = trees.mirror_of(recipe)
    commands.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            # Unpacks, and runs no script of any package.
            "--variant=extract",
            f"--include={','.join(packages)}",
            recipe.suite,
            folder,
            mirror,
        ],
        label=f"unpacking {', '.join(packages)}",
        remedy=f"is {mirror} within reach?",
    )
