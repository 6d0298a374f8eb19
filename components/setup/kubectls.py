"""kubectl for machines that have none: that on PATH, else upstream's, built from the module that `tools/kubectl` pins.

The toolkit itself never calls it; operators and the cluster's tests do.
"""

import json
import platform
import re
import shutil
import tempfile
from pathlib import Path

from components.setup import caches, commands, go_modules, progress
from components.setup.errors import SetupError

VERSION = "1.36.3"
"""The release of Kubernetes that `tools/kubectl/go.mod` names (k8s.io/kubectl v0.36.3)."""

RELEASES = {"1.32": "1.32.3", "1.33": "1.33.13", "1.34": "1.34.13", "1.35": "1.35.10", "1.36": VERSION}
"""Minor releases that operators may have, each pinned by `tools/kubectl-MINOR` (k8s.io/kubectl v0.MINOR.PATCH)."""

_VERSION_PACKAGE = "k8s.io/component-base/version"


def find(root: Path) -> Path:
    """Return the folder of a kubectl that may speak to our servers, built if need be, or raise SetupError.

    One that is more than one minor version away from them is passed by (Kubernetes version skew policy).
    """
    found = shutil.which("kubectl")
    if found is not None and _fits(Path(found)):
        return Path(found).parent
    module = root / "tools" / "kubectl"
    return caches.entry(
        "kubectl",
        _key(root),
        lambda place: go_modules.build(module, ".", place / "kubectl", linker_flags=_linker_flags(VERSION)),
        what="building kubectl",
    )


def release(root: Path, minor: str) -> Path:
    """Return the program of a minor release (a key of RELEASES), built if the cache has none, or raise SetupError.

    All are built from the one main package of `tools/kubectl`; what differs is the modules that they pin.
    """
    if RELEASES[minor] == VERSION:
        sources = [root / "tools" / "kubectl" / file for file in ("main.go", "go.mod", "go.sum")]
    else:
        pins = root / "tools" / f"kubectl-{minor}"
        sources = [root / "tools" / "kubectl" / "main.go", pins / "go.mod", pins / "go.sum"]

    def build(place: Path) -> None:
        with tempfile.TemporaryDirectory() as module:
            for source in sources:
                shutil.copy(source, module)
            go_modules.build(Path(module), ".", place / "kubectl", linker_flags=_linker_flags(RELEASES[minor]))

    key = caches.digest([RELEASES[minor], platform.machine()], sources)
    return caches.entry("kubectl", f"{minor}-{key}", build, what=f"building kubectl {minor}") / "kubectl"


def _linker_flags(version: str) -> str:
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in values.items())


def cached(root: Path) -> Path | None:
    """Return the folder of the kubectl that was built before, or None."""
    folder = caches.root() / "kubectl" / _key(root)
    return folder if folder.is_dir() else None


def _fits(kubectl: Path) -> bool:
    try:
        told = json.loads(commands.capture([kubectl, "version", "--client", "--output=json"]))
        major, minor = (re.sub(r"\D", "", told["clientVersion"][part]) for part in ("major", "minor"))
    except (SetupError, KeyError, ValueError) as error:
        progress.say(f"{kubectl} does not tell its version ({error}); it is not used")
        return False
    ours = VERSION.split(".")
    return major == ours[0] and abs(int(minor) - int(ours[1])) <= 1


def _key(root: Path) -> str:
    pins = [root / "tools" / "kubectl" / file for file in ("main.go", "go.mod", "go.sum")]
    return caches.digest([VERSION, platform.machine()], pins)
