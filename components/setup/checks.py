"""`make check`: every tool that judges the tree, each with the settings the repository holds. None needs a network."""

import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from components.setup import progress
from components.setup.errors import SetupError

_NOT_OURS = frozenset({".git", ".venv", ".state", "node_modules", "__pycache__"})
_YAML = ("roles", "stacks", "images", "components", "tests", "Pulumi.yaml")


@dataclass(frozen=True)
class Check:
    """One tool and its arguments."""

    name: str
    arguments: tuple[str, ...]


def checks(root: Path) -> list[Check]:
    """Return the checks of the tree at `root`, the slowest first so that they overlap the rest."""
    return [
        Check("ansible-lint", ("ansible-lint", "--offline", "-q", "--profile", "production", "roles")),
        Check("mypy", ("mypy",)),
        Check("import-linter", ("lint-imports", "--no-cache")),
        Check("yamllint", ("yamllint", "--strict", *(name for name in _YAML if (root / name).exists()))),
        Check("ruff format", ("ruff", "format", "--check", "--quiet", ".")),
        Check("ruff", ("ruff", "check", "--quiet", ".")),
        Check("shellcheck", ("shellcheck", *map(str, shell_scripts(root)))),
    ]


def shell_scripts(root: Path) -> list[Path]:
    """Return the files that a POSIX shell runs, by their first line, relative to `root`."""
    found = []
    for directory, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if folder not in _NOT_OURS and not folder.endswith("_cache")]
        for file in files:
            path = Path(directory, file)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as stream:
                first = stream.readline(40)
            if first.rstrip() in {b"#!/bin/sh", b"#!/bin/sh -eu", b"#!/bin/sh -e", b"#!/usr/bin/env sh"}:
                found.append(path.relative_to(root))
    return sorted(found)


def run(root: Path, environment: Mapping[str, str]) -> int:
    """Run all checks, two at a time; show what failed as its tool told it; return 0 only if none did."""
    folder = root / ".venv" / "bin"
    failed = []

    def judge(check: Check) -> tuple[Check, subprocess.CompletedProcess[str], float]:
        started = time.monotonic()
        program, *rest = check.arguments
        if not (folder / program).exists():
            raise SetupError(f"{program} is not in the virtual environment", "delete .venv/.inputs and run make again")
        done = subprocess.run(
            [str(folder / program), *rest],
            cwd=root,
            env={**environment, "PATH": f"{folder}{os.pathsep}{environment.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return check, done, time.monotonic() - started

    with ThreadPoolExecutor(max_workers=2) as pool, progress.heartbeat("checking"):
        for check, done, seconds in pool.map(judge, checks(root)):
            progress.say(f"{check.name}: {'ok' if done.returncode == 0 else 'FAILED'} ({seconds:.1f} s)")
            if done.returncode != 0:
                failed.append(check.name)
                progress.say(done.stdout.strip() or f"ended with {done.returncode} and said nothing")
    if failed:
        progress.say(f"check failed: {', '.join(failed)}")
    return 1 if failed else 0
