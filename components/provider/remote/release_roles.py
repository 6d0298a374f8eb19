"""Runs on a host that is let go: stops the units of the roles given, last first, and removes what the roles placed.

Without roles, all are released that manifests speak of. A file that was changed since is removed too, except where it
was there before the role: that copy is put back. Data that daemons made (etcd's database, container images) is not a
role's file and stays.
"""

import json
import pathlib
import shutil
import subprocess
import sys

STATE = pathlib.Path("/var/lib/keelson")
# What others need comes first, as it does when roles converge: it is released last.
FOUNDATIONS = ("base", "containerd")
# A folder of one of these that a file of ours leaves empty was made for it.
FOLDERS = ("/etc/systemd/system", "/usr/local/libexec")


def placed() -> list[dict[str, object]]:
    """The roles that are on this host, foundations first, each with the units it was last started with."""
    names = {path.stem for path in (STATE / "manifest.d").glob("*.json")}
    ordered = [name for name in FOUNDATIONS if name in names] + sorted(names.difference(FOUNDATIONS))
    roles: list[dict[str, object]] = []
    for name in ordered:
        record = STATE / "units.d" / f"{name}.json"
        units = list(json.loads(record.read_text())) if record.exists() else []
        roles.append({"name": name, "units": units})
    return roles


def end_pods() -> None:
    """Kill and remove the containers of all pods: they would outlive their runtime, which nothing asks for any more."""
    socket = pathlib.Path("/run/containerd/containerd.sock")
    if shutil.which("ctr") is None or not socket.is_socket():
        return
    command = ["ctr", "--connect-timeout", "5s", "--namespace", "k8s.io"]
    for kind in ("tasks", "containers"):
        listed = subprocess.run([*command, kind, "list", "--quiet"], stdout=subprocess.PIPE, text=True, check=False)
        names = listed.stdout.split()
        if names:
            force = ["--force"] if kind == "tasks" else []
            # One that ended by itself in between is no failure.
            subprocess.run(
                [*command, kind, "delete", *force, *names],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def prune(path: pathlib.Path) -> None:
    """Remove the folder of a file that is gone, if nothing else is in it and it was made for such files."""
    folder = path.parent
    if str(folder.parent) in FOLDERS and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def release(role: str, units: list[str]) -> None:
    """Undo one role's placement."""
    manifest = STATE / "manifest.d" / f"{role}.json"
    if not manifest.exists():
        return
    if role == "containerd":
        end_pods()
    for unit in units:
        subprocess.run(["systemctl", "disable", "--now", "--", unit], check=False, stderr=subprocess.DEVNULL)
    for entry in json.loads(manifest.read_text())["files"]:
        path = pathlib.Path(entry["path"])
        original = STATE / "originals" / path.relative_to("/")
        if original.exists():
            status = original.stat()
            shutil.copy2(original, path)
            shutil.chown(path, status.st_uid, status.st_gid)
            original.unlink()
        else:
            path.unlink(missing_ok=True)
            prune(path)
    (STATE / "units.d" / f"{role}.json").unlink(missing_ok=True)
    manifest.unlink()


def main() -> None:
    """Release each role and let systemd see it."""
    roles = json.load(sys.stdin)["roles"]
    if roles is None:
        roles = placed()
    for role in reversed(roles):
        release(role["name"], role["units"])
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    json.dump({"released": [role["name"] for role in roles]}, sys.stdout)


main()
