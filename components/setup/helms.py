"""Helm, built from the release that `tools/helm` pins: the compatibility suite installs charts with it.

No stack needs it, and no operator is given it.
"""

import platform
from pathlib import Path

from components.setup import caches, go_modules

VERSION = "3.22.0"
"""The release of Helm that `tools/helm/go.mod` names."""

_PACKAGE = "helm.sh/helm/v3/cmd/helm"
_VERSION_PACKAGE = "helm.sh/helm/v3/internal/version"


def build(root: Path) -> Path:
    """Return the program, built if the cache has none. Raises SetupError if that fails."""
    module = root / "tools" / "helm"
    flags = f"-X {_VERSION_PACKAGE}.version=v{VERSION}"
    folder = caches.entry(
        "helm",
        caches.digest([VERSION, platform.machine()], [module / "go.mod", module / "go.sum"]),
        lambda place: go_modules.build(module, _PACKAGE, place / "helm", linker_flags=flags),
        what="building helm",
    )
    return folder / "helm"
