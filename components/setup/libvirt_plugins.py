"""Pulumi's plugin for libvirt, for stacks of virtual machines: by Pulumi's own installer, or built from Go modules.

Either way it ends where `pulumi plugin install` puts plugins, so that `pulumi` finds it without us.
"""

import json
import platform
import shutil
import subprocess
from pathlib import Path

from components.setup import caches, commands, go_modules, packages, progress
from components.setup.clones import Stack
from components.setup.errors import SetupError

VERSION = "0.5.4"
"""The pinned version; the same as the `pulumi-libvirt` package of pyproject.toml."""

_NAME = "libvirt"
_PROGRAM = f"pulumi-resource-{_NAME}"
_INSTALL_SECONDS = 120


def ensure(stack: Stack, engine: Path) -> None:
    """Install the plugin, and what it calls, where either is missing. Raises SetupError if no road leads to it."""
    if shutil.which("mkisofs") is None:
        packages.install(["genisoimage"], why="making the seeds of virtual machines")
    if _installed(stack, engine):
        return
    try:
        with progress.heartbeat("Pulumi downloads its libvirt plugin"):
            _pulumi(stack, engine, "plugin", "install", "resource", _NAME, VERSION)
    except (SetupError, subprocess.TimeoutExpired) as error:
        progress.say(f"Pulumi's libvirt plugin cannot be downloaded here ({str(error).splitlines()[0]})")
        archive = _from_modules(stack.clone.root)
        _pulumi(stack, engine, "plugin", "install", "resource", _NAME, VERSION, "--file", str(archive))


def _installed(stack: Stack, engine: Path) -> bool:
    listed = json.loads(_pulumi(stack, engine, "plugin", "ls", "--json"))
    return any(
        plugin["name"] == _NAME and plugin["kind"] == "resource" and plugin.get("version") == VERSION
        for plugin in listed
    )


def _pulumi(stack: Stack, engine: Path, *arguments: str) -> str:
    done = subprocess.run(
        [engine / "pulumi", *arguments],
        # Not in the clone: there Pulumi would speak of the plugins of this project alone.
        cwd=stack.place,
        env=stack.environment(engine),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise SetupError(f"pulumi {' '.join(arguments[:2])}", lines[-1])
    return done.stdout


def _from_modules(root: Path) -> Path:
    """Return the archive of the plugin built from `tools/pulumi-libvirt`: the program, and its schema beside it."""
    module = root / "tools" / "pulumi-libvirt"

    def build(place: Path) -> None:
        generator = place / "tfgen"
        go_modules.build(module, "./tfgen", generator)
        # Apart from the clone, whose Pulumi.yaml the generator would read.
        commands.run(
            [generator, "schema", "--out", place],
            label="writing the libvirt plugin's schema",
            remedy="see the lines above",
            directory=place,
        )
        generator.unlink()
        go_modules.build(module, ".", place / _PROGRAM)
        tar: list[str | Path] = ["tar", "--create", "--gzip", "--file", place / "plugin.tar.gz", "--directory", place]
        commands.capture([*tar, _PROGRAM, "schema.json"])

    sources = [module / file for file in ("go.mod", "go.sum", "main.go", "provider/provider.go", "tfgen/main.go")]
    key = caches.digest([VERSION, platform.machine()], sources)
    return caches.entry("pulumi-libvirt", key, build, what="building Pulumi's libvirt plugin") / "plugin.tar.gz"
