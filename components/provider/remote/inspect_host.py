"""Runs on a host: prints, as JSON, what is there of what roles placed. Changes nothing.

The argument has the units of each role. The answer has per role, as its manifest lists them, each file's digest, mode
and owner (null if it is gone), and each unit's state; roles that no manifest speaks of are left out.
"""

import grp
import hashlib
import json
import os
import pathlib
import pwd
import subprocess
import sys
from collections.abc import Callable
from typing import Any

MANIFESTS = pathlib.Path("/var/lib/keelson/manifest.d")


def name_of(lookup: Callable[[int], Any], number: int) -> str:
    """The name of an account or group; its number where it has none."""
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def file_state(path: str) -> dict[str, str] | None:
    """What a file is now, or None."""
    try:
        with pathlib.Path(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            status = os.fstat(stream.fileno())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    return {
        "sha256": digest,
        "mode": f"{status.st_mode & 0o7777:04o}",
        "owner": name_of(pwd.getpwuid, status.st_uid),
        "group": name_of(grp.getgrgid, status.st_gid),
    }


def unit_states(names: list[str]) -> dict[str, dict[str, str]]:
    """Each unit's enablement and activity, by one call of systemctl (systemctl(1), show)."""
    if not names:
        return {}
    command = ["systemctl", "show", "--property=Id,ActiveState,UnitFileState", "--", *names]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    states = {}
    for name, block in zip(names, answer.stdout.strip().split("\n\n"), strict=True):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        states[name] = {
            "active": properties.get("ActiveState", ""),
            "enabled": properties.get("UnitFileState", ""),
        }
    return states


def main() -> None:
    """Read the manifests and print what is."""
    roles: dict[str, dict[str, Any]] = {}
    names: dict[str, list[str]] = json.load(sys.stdin)["units"]
    for manifest in sorted(MANIFESTS.glob("*.json")) if MANIFESTS.is_dir() else []:
        recorded = json.loads(manifest.read_text())
        roles[manifest.stem] = {"files": {entry["path"]: file_state(entry["path"]) for entry in recorded["files"]}}
    states = unit_states(sorted({name for group in names.values() for name in group}))
    for name, role in roles.items():
        role["units"] = {unit: states[unit] for unit in names.get(name, [])}
    json.dump({"roles": roles}, sys.stdout)


main()
