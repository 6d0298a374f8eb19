"""A machine image as what a virtual machine boots from: its kernel, its initial file system, and a disk.

The kernel is handed to the virtual machine by its hypervisor, so the disk needs no boot loader and no partitions, and
is made without a loop device: a file system, as small as it can be, that grows to its disk when it first boots.
"""

from dataclasses import dataclass
from pathlib import Path

from components.setup import caches, commands
from components.setup.errors import SetupError
from images.machine import trees
from images.machine.recipes import Recipe

# Raised when this module changes what it makes of an unchanged tree.
_BUILDER = "1"
_MEBIBYTE = 1 << 20
_ROOM_MEBIBYTES = 256


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The files, in the user's cache. `digest` names them: another digest is another image."""

    digest: str
    root: Path
    kernel: Path
    initrd: Path


def disk(recipe: Recipe) -> Disk:
    """Return the disk of the image that `recipe` describes, built first if the cache lacks it.

    Raises SetupError when a tool is missing, the build fails, or the image has no kernel.
    """
    tree = trees.tree(recipe)
    key = caches.digest([_BUILDER, tree.parent.name])
    entry = caches.entry("machine-disk", key, lambda folder: _build(tree, folder), what="the virtual machine's disk")
    return Disk(digest=key, root=entry / "root.img", kernel=entry / "vmlinuz", initrd=entry / "initrd.img")


def _build(tree: Path, folder: Path) -> None:
    for name in ("vmlinuz", "initrd.img"):
        versions = sorted((tree / "boot").glob(f"{name}-*"))
        if not versions:
            raise SetupError(f"the machine image has no {name}", "its recipe must install a kernel and an initramfs")
        (folder / name).write_bytes(versions[-1].read_bytes())
    used = int(commands.capture(["du", "--summarize", "--block-size=1", tree]).split()[0]) // _MEBIBYTE
    # The journal, the inode tables and room for the first boot, before the file system grows.
    size = used + used // 8 + _ROOM_MEBIBYTES
    commands.run(
        ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "0", "-d", tree, folder / "root.img", f"{size}M"],
        label="making the virtual machine's disk",
        remedy="is there room in the cache, and is e2fsprogs installed?",
    )
