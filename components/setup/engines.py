"""The Pulumi engine, by the first road that works: on PATH, by Pulumi's installer, or built from Go modules.

All three give the same version, the one that the Python SDK in uv.lock has. `pulumi` finds its language host and the
scripts that the host runs beside itself on PATH, so the unit that a road delivers is a folder of programs.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from components.setup import caches, commands, go_modules, progress
from components.setup.errors import SetupError

VERSION = "3.259.0"
"""The pinned version; the same as the `pulumi` package of pyproject.toml."""

INSTALLER = "https://get.pulumi.com"

_LANGUAGE_HOST_VERSION = "3.79.0"  # The last whose module holds the Python language host's main package.
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")
_CONNECT_SECONDS = 5
_SCRIPT_SECONDS = 20
_INSTALL_SECONDS = 300


def find(root: Path) -> Path:
    """Return the folder of the pinned engine's programs; `root` is the clone whose `tools/` pins the third road.

    Raises SetupError if no road leads to it.
    """
    # What an earlier run left comes first only because asking `pulumi version` costs a third of a second.
    return cached(root) or on_path() or by_installer() or from_modules(root)


def on_path() -> Path | None:
    """Return the folder of the `pulumi` on PATH if it is the pinned version and has its language host with it."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    folder = Path(found).resolve().parent
    if not all(shutil.which(name, path=commands.search_path(folder)) for name in _PROGRAMS):
        return None
    return folder if _version_of(folder) == VERSION else None


def cached(root: Path) -> Path | None:
    """Return the folder that an earlier run of either of the other roads left, if there is one."""
    for key in (_release_key(), _module_key(root)):
        folder = caches.root() / "pulumi" / key / "bin"
        if folder.is_dir():
            return folder
    return None


def by_installer(url: str = INSTALLER) -> Path | None:
    """Return the folder that Pulumi's own installer filled, or None if it is out of reach or fails within its time."""

    def install(place: Path) -> None:
        script = place / "install.sh"
        limits = ["--connect-timeout", str(_CONNECT_SECONDS), "--max-time", str(_SCRIPT_SECONDS)]
        _bounded(["curl", "-fsSL", *limits, "-o", str(script), url], _SCRIPT_SECONDS + 1)
        with progress.heartbeat("Pulumi's installer downloads the release"):
            options = ["--version", VERSION, "--install-root", str(place), "--no-edit-path"]
            _bounded(["sh", str(script), *options], _INSTALL_SECONDS)
        script.unlink()
        if _version_of(place / "bin") != VERSION:
            raise SetupError("Pulumi's installer delivered another version", f"{VERSION} is needed")

    try:
        return caches.entry("pulumi", _release_key(), install, what="installing Pulumi") / "bin"
    except (SetupError, subprocess.SubprocessError, OSError) as error:
        progress.say(f"Pulumi's installer is of no use here ({_reason(error)})")
        return None


def from_modules(root: Path) -> Path:
    """Return the folder built from the Go modules that `tools/pulumi` and `tools/pulumi-language-python` pin."""

    def build(place: Path) -> None:
        programs = place / "bin"
        programs.mkdir()
        pulumi = root / "tools" / "pulumi"
        flags = f"-X {_SDK}/go/common/version.Version=v{VERSION}"
        go_modules.build(
            root / "tools" / "pulumi-language-python",
            f"{_SDK}/python/cmd/pulumi-language-python",
            programs / "pulumi-language-python",
            linker_flags=flags,
        )
        sdk = go_modules.folder(pulumi, _SDK, f"v{VERSION}")
        for script in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
            # Module archives carry no modes.
            target = programs / Path(script).name
            shutil.copyfile(sdk / "python" / script, target)
            target.chmod(0o755)
        go_modules.build(pulumi, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", programs / "pulumi", linker_flags=flags)

    return caches.entry("pulumi", _module_key(root), build, what="building Pulumi") / "bin"


def _release_key() -> str:
    return f"release-{VERSION}-{platform.machine()}"


def _module_key(root: Path) -> str:
    tools = root / "tools"
    pins = [tools / tool / file for tool in ("pulumi", "pulumi-language-python") for file in ("go.mod", "go.sum")]
    return f"modules-{caches.digest([VERSION, _LANGUAGE_HOST_VERSION, platform.machine()], pins)}"


def _version_of(folder: Path) -> str:
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    return commands.capture([folder / "pulumi", "version"], environment=environment).strip().removeprefix("v")


def _bounded(arguments: list[str], seconds: float) -> None:
    subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=True,
        text=True,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        complaint = (error.stderr or error.stdout or "").strip().splitlines()
        return complaint[-1] if complaint else f"ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no end after {error.timeout:.0f} s"
    return str(error)
