"""Upstream's own programs, built from the release that `tools/kubernetes` pins: what ours are measured against.

The bench runs its daemons beside ours, the conformance run its suite and test images; no stack ever runs them.
"""

import functools
import platform
from pathlib import Path

from components.setup import caches, go_modules
from components.setup.errors import SetupError

VERSION = "1.36.3"
"""The release of Kubernetes that `tools/kubernetes/go.mod` names."""

PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "e2e.test": "k8s.io/kubernetes/test/e2e",
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    "nonewprivs": "k8s.io/kubernetes/test/images/nonewprivs",
    "sample-apiserver": "k8s.io/sample-apiserver",
}
"""The package of each program that can be built."""

_VERSION_PACKAGE = "k8s.io/component-base/version"


def build(root: Path, name: str) -> Path:
    """Return the program `name` (a key of PACKAGES), built if the cache has none. Raises SetupError if that fails."""
    if name not in PACKAGES:
        raise SetupError(f"no program {name!r} is built from Kubernetes", f"one of {', '.join(sorted(PACKAGES))}")
    module = root / "tools" / "kubernetes"
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X {_VERSION_PACKAGE}.{key}={value}" for key, value in values.items())
    folder = caches.entry(
        "kubernetes",
        f"{name}-{caches.digest([VERSION, platform.machine()], [module / 'go.mod', module / 'go.sum'])}",
        functools.partial(_build, module, name, flags),
        what=f"building {name}",
    )
    return folder / name


def sources(root: Path) -> Path:
    """Return the folder of the module k8s.io/kubernetes, fetched if need be. Raises SetupError if that fails."""
    return go_modules.folder(root / "tools" / "kubernetes", "k8s.io/kubernetes", f"v{VERSION}")


def _build(module: Path, name: str, linker_flags: str, place: Path) -> None:
    compile_ = go_modules.build_tests if name.endswith(".test") else go_modules.build
    compile_(module, PACKAGES[name], place / name, linker_flags=linker_flags)
