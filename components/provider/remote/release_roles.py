"""Runs on a host that is let go: stops the units of the roles given, last first, and removes what the roles placed.

A file that was changed since is removed too, except where it was there before the role: that copy is put back. Data
that daemons made (etcd's database, container images) is not a role's file and stays.
"""

import json
import pathlib
import shutil
import subprocess
import sys

STATE = pathlib.Path("/var/lib/keelson")


def release(role: str, units: list[str]) -> None:
    """Undo one role's placement."""
    manifest = STATE / "manifest.d" / f"{role}.json"
    if not manifest.exists():
        return
    for unit in units:
        subprocess.run(["systemctl", "disable", "--now", "--", unit], check=False, stderr=subprocess.DEVNULL)
    for entry in json.loads(manifest.read_text())["files"]:
        path = pathlib.Path(entry["path"])
        original = STATE / "originals" / path.relative_to("/")
        if original.exists():
            shutil.copy2(original, path)
            original.unlink()
        else:
            path.unlink(missing_ok=True)
    (STATE / "units.d" / f"{role}.json").unlink(missing_ok=True)
    manifest.unlink()


def main() -> None:
    """Release each role and let systemd see it."""
    roles = json.load(sys.stdin)["roles"]
    for role in reversed(roles):
        release(role["name"], role["units"])
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    json.dump({"released": [role["name"] for role in roles]}, sys.stdout)


main()
