"""What is installed on hosts: the machine image, the release bundle and the container images, each by its digest.

They are built into the user's cache before a stack is updated; asking for one that is there costs milliseconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from images.bundle import archives as bundles
from images.bundle import sources
from images.machine import disks, recipes, trees
from images.machine.disks import Disk
from images.oci import archives as containers

_DNS: Final = "/coredns:"


@dataclass(frozen=True, slots=True)
class Archive:
    """A file in the cache, and the SHA-256 of its content in hexadecimal."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Release:
    """The bundle of the daemons, and the container images that go with it, named as pods name them."""

    version: str
    bundle: Archive
    images: tuple[Archive, ...]

    @property
    def dns_image(self) -> str:
        """The image of the cluster's DNS."""
        return next(image.name for image in self.images if _DNS in image.name)


def release() -> Release:
    """The release of this checkout; what of it the cache lacks is built. Raises `SetupError` if that fails."""
    bundle = bundles.bundle(sources.read())
    recipe = recipes.load()
    images = [containers.archive(path, recipe) for path in containers.definitions()]
    return Release(
        version=bundle.version,
        bundle=Archive(name="bundle", path=str(bundle.archive), digest=bundle.sha256),
        images=tuple(Archive(name=image.name, path=str(image.path), digest=_digest(image.path)) for image in images),
    )


def machine_image() -> Path:
    """The tree that machine containers boot from; built if the cache lacks it."""
    return trees.tree(recipes.load())


def virtual_machine_image() -> Disk:
    """The disk, kernel and initrd that virtual machines boot from; built if the cache lacks them."""
    return disks.disk(recipes.load(recipes.VIRTUAL))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
