"""Machine images as unpacked trees in the user's cache, one folder for each recipe, architecture and builder.

A tree is only ever read: hosts put an overlay on it. So one copy serves every host of every clone, and a host starts
without copying half a gigabyte.
"""

import json
import shutil
from pathlib import Path

from components.setup import caches, commands
from components.setup.errors import SetupError
from images.machine.recipes import Recipe

# Raised when this module changes what it makes of an unchanged recipe.
_BUILDER = "1"


def tree(recipe: Recipe) -> Path:
    """Return the root folder of the image that `recipe` describes, built first if the cache has no such image.

    Beside it lies `packages.json`, name to version: what the archive served on the day of the build.
    Raises SetupError when a tool is missing or the build fails.
    """
    architecture = commands.capture(["dpkg", "--print-architecture"]).strip()
    key = caches.digest([_BUILDER, architecture, recipe.canonical()])
    entry = caches.entry("machine", key, lambda folder: _build(recipe, folder), what="the machine image")
    return entry / "tree"


def mirror_of(recipe: Recipe) -> str:
    """Where the recipe's packages come from: what it says, else the Debian archive that this machine itself uses.

    The latter is what apt knows (apt-get(8), indextargets). Raises SetupError if it knows none.
    """
    if recipe.mirror:
        return recipe.mirror
    listed = commands.capture(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
            "Label: Debian",
        ]
    )
    mirrors = listed.split()
    if not mirrors:
        raise SetupError("apt knows no Debian archive on this machine", "apt-get update")
    return mirrors[0]


def _build(recipe: Recipe, folder: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise SetupError("mmdebstrap is not installed", "apt-get install mmdebstrap")
    root = folder / "tree"
    mirror = mirror_of(recipe)
    commands.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            f"--variant={recipe.variant}",
            f"--components={','.join(recipe.components)}",
            f"--include={','.join(recipe.packages)}",
            recipe.suite,
            root,
            mirror,
        ],
        label=f"building the machine image ({recipe.suite}, {len(recipe.packages)} packages)",
        remedy=f"is {mirror} within reach, and has debian-archive-keyring the keys of {recipe.suite}?",
    )
    # systemctl acts on the tree and not on the operator's own manager: --root is its offline mode (systemctl(1)).
    for verb, units in (
        ("enable", recipe.enabled_units),
        ("disable", recipe.disabled_units),
        ("mask", recipe.masked_units),
    ):
        if units:
            commands.capture(["chroot", root, "systemctl", "--root=/", verb, *units])
    for name in recipe.removed_files:
        (root / name.lstrip("/")).unlink(missing_ok=True)
    for name, content in recipe.files.items():
        place = root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        # A link of the image must not lead the write out of it.
        place.unlink(missing_ok=True)
        place.write_text(content)
        place.chmod(0o644)
    listed = commands.capture(["chroot", root, "dpkg-query", "--show", "--showformat=${Package}\t${Version}\n"])
    versions = dict(line.split("\t") for line in listed.splitlines())
    (folder / "packages.json").write_text(json.dumps(versions, indent=1, sort_keys=True) + "\n")
