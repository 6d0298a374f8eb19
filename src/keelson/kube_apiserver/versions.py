"""The version that the server states (/version): the API's, with our build behind the plus (Semantic Versioning)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from keelson.component_base import metrics

MAJOR, MINOR = "1", "36"
_BUILD = metrics.gauge(
    "kubernetes_build_info",
    "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, "
    "Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
    (
        "major",
        "minor",
        "git_version",
        "git_commit",
        "git_tree_state",
        "build_date",
        "go_version",
        "compiler",
        "platform",
    ),
)
_VERSION = metrics.gauge(
    "version_info",
    "Provides the compatibility version info of the component.",
    ("binary", "component", "emulation", "min_compat"),
)
_FEATURES = metrics.gauge(
    "kubernetes_feature_enabled",
    "This metric records the data about the stage and enablement of a k8s feature.",
    ("name", "stage"),
)


@cache
def _build() -> str:
    try:
        return metadata.version("keelson")
    except metadata.PackageNotFoundError:
        return "0"


def info() -> dict[str, str]:
    """version.Info: clients read major and minor for compatibility, people the rest."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": f"v{MAJOR}.{MINOR}.0+keelson.{_build()}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{machine}",
    }


def publish(features: Mapping[tuple[str, str], bool]) -> None:
    """State the version in the metrics too, and whether features, by name and stage, are enabled."""
    for named, enabled in features.items():
        _FEATURES.labels(*named).set(int(enabled))
    version = f"{MAJOR}.{MINOR}"
    _VERSION.labels(version, "kube", version, f"{MAJOR}.{int(MINOR) - 1}").set(1)
    found = info()
    _BUILD.labels(
        found["major"], found["minor"], found["gitVersion"], found["gitCommit"], found["gitTreeState"],
        found["buildDate"], found["goVersion"], found["compiler"], found["platform"],
    ).set(1)  # fmt: skip
