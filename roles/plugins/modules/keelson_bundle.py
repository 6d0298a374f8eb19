"""Keeps release bundles side by side under /opt/keelson, and switches between them by one link.

A bundle is unpacked beside its place and renamed into it, so a directory with a version's name is always whole.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: keelson_bundle
short_description: Install a release bundle and make it the current one
options:
  version: {description: The directory's name under /opt/keelson., type: str, required: true}
  digest: {description: SHA-256 of the archive., type: str, required: true}
  archive:
    description: Path of the archive on the host. Without it the module only says whether it is wanted.
    type: str
"""

RETURN = """
wanted: {description: Whether the host lacks the bundle and no archive was given., type: bool, returned: always}
"""

ROOT = Path("/opt/keelson")
# What was current, and what was before it, can be gone back to without being sent again.
KEPT = 3


class RefusedError(Exception):
    """The bundle cannot be installed; the text says why."""


def present(version: str, digest: str) -> bool:
    """Whether that bundle, with that digest, is unpacked."""
    try:
        return (ROOT / version / ".digest").read_text() == digest
    except FileNotFoundError:
        return False


def unpack(archive: Path, version: str, digest: str) -> None:
    """Unpack beside the version's directory and rename into place.

    Raises RefusedError where the archive is not the one that is meant.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise RefusedError(f"the bundle's archive has the digest {found}, {digest} is wanted")
    ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    partial = ROOT / f".{version}.partial"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o755)
    command = ["tar", "--extract", "--zstd", "--no-same-owner", "--strip-components=1"]
    command += ["--file", str(archive), "--directory", str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"the bundle cannot be unpacked: {done.stderr.strip()}")
    if not (partial / "bin").is_dir():
        raise RefusedError("the bundle has no bin directory")
    (partial / ".digest").write_text(digest)
    place, replaced = ROOT / version, ROOT / f".{version}.replaced"
    if replaced.exists():
        shutil.rmtree(replaced)
    if place.exists():
        place.rename(replaced)
    partial.rename(place)
    if replaced.exists():
        shutil.rmtree(replaced)


def switch(version: str) -> None:
    """Point /opt/keelson/current to a version, at once."""
    draft = ROOT / ".current.new"
    draft.unlink(missing_ok=True)
    draft.symlink_to(version)
    draft.replace(ROOT / "current")


def current() -> str:
    """The version that is current; empty where none is."""
    try:
        return str((ROOT / "current").readlink())
    except FileNotFoundError:
        return ""


def prune(version: str) -> None:
    """Remove all but the newest few versions."""
    others = [place for place in ROOT.iterdir() if place.is_dir() and not place.is_symlink() and place.name != version]
    for place in sorted(others, key=lambda each: each.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(place)


def install(version: str, digest: str, archive: str | None, *, check: bool) -> dict[str, Any]:
    """Bring the host to that bundle; gives Ansible's answer."""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+_-]*", version):
        raise RefusedError(f"{version!r} is no version of a bundle")
    before = current()
    missing = not present(version, digest)
    change = missing or before != version
    answer: dict[str, Any] = {
        "changed": change,
        "wanted": missing and archive is None,
        "diff": [
            {"before_header": "current", "after_header": "current", "before": f"{before}\n", "after": f"{version}\n"}
        ],
    }
    if not change:
        answer["diff"] = []
    if check or answer["wanted"]:
        return answer
    if missing:
        unpack(Path(str(archive)), version, digest)
    if before != version:
        switch(version)
    prune(version)
    return answer


def main() -> None:
    """Read the task's arguments, install, answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "digest": {"type": "str", "required": True},
            "archive": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        result = install(
            module.params["version"], module.params["digest"], module.params["archive"], check=module.check_mode
        )
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or ROOT}: {error.strerror}")
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
