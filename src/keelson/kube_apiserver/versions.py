"""The version that the server states (/version): the API's, with our build behind the plus (Semantic Versioning)."""

from __future__ import annotations

import platform
from importlib import metadata

MAJOR, MINOR = "1", "36"


def info() -> dict[str, str]:
    """version.Info: clients read major and minor for compatibility, people the rest."""
    try:
        build = metadata.version("keelson")
    except metadata.PackageNotFoundError:
        build = "0"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": f"v{MAJOR}.{MINOR}.0+keelson.{build}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{machine}",
    }
