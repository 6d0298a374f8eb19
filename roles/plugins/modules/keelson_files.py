"""Places a role's files on a host: writes atomically what differs, and records what was placed.

The record, /var/lib/keelson/manifest.d/<role>.json, is what drift is read against: one command compares it with the
host, without rendering anything.
"""

from __future__ import annotations

import base64
import binascii
import grp
import hashlib
import io
import json
import os
import pwd
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: keelson_files
short_description: Place all files of a role
description:
  - Writes each file that differs, atomically, with its owner and mode set before its content is visible.
  - Removes files that the role placed before and no longer has.
  - Keeps a file that was there before any role placed it under /var/lib/keelson/originals, for the host's release.
  - Records path, digest, mode, owner, group, unit and secrecy of each file in /var/lib/keelson/manifest.d/<role>.json.
options:
  role: {description: Name of the role., type: str, required: true}
  files:
    description: Path, sha256, mode, owner, group, unit and secret of each file, in the order of the archive.
    type: list
    elements: dict
    required: true
  archive:
    description: Contents as a gzipped tar in base64; its members are named 0, 1 and so on.
    type: str
    required: true
"""

RETURN = """
files: {description: Paths that were or would be changed., type: list, returned: always}
units: {description: "By unit, digests of its definition and of its configuration.", type: dict, returned: always}
"""

MANIFESTS = Path("/var/lib/keelson/manifest.d")
ORIGINALS = Path("/var/lib/keelson/originals")
DEFINITIONS = "/etc/systemd/system/"


class RefusedError(Exception):
    """The host cannot take a file as it is described; the text says which and why."""


def attributes(path: Path) -> dict[str, Any] | None:
    """Digest, mode, owner and group of a regular file; None where there is none."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def wanted(entry: dict[str, Any]) -> dict[str, Any]:
    """The same attributes as the entry asks for them. Raises RefusedError where the host lacks the account."""
    try:
        uid, gid = pwd.getpwnam(entry["owner"]).pw_uid, grp.getgrnam(entry["group"]).gr_gid
    except KeyError as error:
        raise RefusedError(f"{entry['path']}: {error.args[0]}: the account is not on this host") from error
    return {"sha256": entry["sha256"], "mode": entry["mode"], "uid": uid, "gid": gid}


def write(path: Path, content: bytes, target: dict[str, Any]) -> None:
    """Replace a file at once: readers see the old or the new one, and a power cut leaves one of them."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, target["uid"], target["gid"])
            os.fchmod(descriptor, int(target["mode"], 8))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def difference(entry: dict[str, Any], old: dict[str, Any] | None, content: bytes) -> dict[str, str]:
    """What --diff shows of a file: its text, or digests alone where it is secret."""
    path = Path(entry["path"])
    header = f"{entry['path']} ({entry['owner']}:{entry['group']} {entry['mode']})"
    shown = {"before_header": entry["path"] if old else f"{entry['path']} (absent)", "after_header": header}
    if entry["secret"]:
        before = f"sha256:{old['sha256']}\n" if old else ""
        return {**shown, "before": before, "after": f"sha256:{entry['sha256']}\n"}
    before = path.read_text(errors="replace") if old else ""
    text = content.decode(errors="replace")
    if before == text and old:
        return {**shown, "before": f"mode {old['mode']}\n", "after": f"mode {entry['mode']}\n"}
    return {**shown, "before": before, "after": text}


def unit_digests(files: list[dict[str, Any]], unwritten: list[str]) -> dict[str, dict[str, str]]:
    """By unit, one digest over its definition (unit file and drop-ins) and one over everything else it reads.

    When a file was written is part of it: one that was changed by hand and put right again has its old content, but the
    daemon may have been started in between. `unwritten` are files that a check leaves as they are.
    """
    parts: dict[str, dict[str, list[str]]] = {}
    for entry in files:
        if not entry.get("unit"):
            continue
        part = "definition" if entry["path"].startswith(DEFINITIONS) else "configuration"
        written = "" if entry["path"] in unwritten else str(Path(entry["path"]).stat().st_mtime_ns)
        line = " ".join((entry["path"], entry["sha256"], entry["mode"], entry["owner"], entry["group"], written))
        parts.setdefault(entry["unit"], {"definition": [], "configuration": []})[part].append(line)
    return {
        unit: {part: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() for part, lines in both.items()}
        for unit, both in parts.items()
    }


def recorded(manifest: Path) -> list[dict[str, Any]]:
    """The files of the last placement; none where the role was never placed here."""
    try:
        return list(json.loads(manifest.read_text())["files"])
    except FileNotFoundError:
        return []


def keep_original(path: Path, old: dict[str, Any]) -> None:
    """Keep the file that is about to be replaced, once, if no role placed it: it is the host's own."""
    kept = ORIGINALS / path.relative_to("/")
    if kept.exists():
        return
    if any(entry["path"] == str(path) for manifest in MANIFESTS.glob("*.json") for entry in recorded(manifest)):
        return
    ORIGINALS.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(kept, path.read_bytes(), old)


def contents(archive: str, count: int) -> list[bytes]:
    """The archive's members in order. Raises RefusedError where it is not what the operator's half sends."""
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive, validate=True)), mode="r:gz") as members:
            for index in range(count):
                member = members.extractfile(str(index))
                found.append(member.read() if member else b"")
    except (tarfile.TarError, KeyError, OSError, EOFError, binascii.Error) as error:
        raise RefusedError(f"the archive of files cannot be read: {error}") from error
    return found


def place(role: str, files: list[dict[str, Any]], bodies: list[bytes], *, check: bool) -> dict[str, Any]:
    """Bring the host's files to what is asked and record them; with `check`, only say what would change."""
    changed, differences = [], []
    for entry, body in zip(files, bodies, strict=True):
        path = Path(entry["path"])
        if hashlib.sha256(body).hexdigest() != entry["sha256"]:
            raise RefusedError(f"{path}: the content was damaged on its way")
        old = attributes(path)
        try:
            target = wanted(entry)
        except RefusedError:
            # A preview of a new host: an earlier role has not made the account yet.
            if not check:
                raise
            target = {}
        if old == target:
            continue
        changed.append(entry["path"])
        differences.append(difference(entry, old, body))
        if not check:
            if old is not None:
                keep_original(path, old)
            write(path, body, target)
    manifest = MANIFESTS / f"{role}.json"
    kept = {entry["path"] for entry in files}
    before = recorded(manifest)
    for stale in (entry["path"] for entry in before if entry["path"] not in kept):
        changed.append(stale)
        differences.append({"before_header": stale, "after_header": f"{stale} (absent)", "before": "", "after": ""})
        if not check:
            Path(stale).unlink(missing_ok=True)
    if before != files and not check:
        text = json.dumps({"role": role, "files": files}, indent=1, sort_keys=True) + "\n"
        write(manifest, text.encode(), {"uid": 0, "gid": 0, "mode": "0600"})
    return {
        "changed": bool(changed) or before != files,
        "files": changed,
        "diff": differences,
        "units": unit_digests(files, changed if check else []),
    }


def main() -> None:
    """Read the task's arguments, place the files, answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "dict", "required": True},
            "archive": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    files = module.params["files"]
    try:
        bodies = contents(module.params["archive"], len(files))
        result = place(module.params["role"], files, bodies, check=module.check_mode)
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a file'}: {error.strerror}")
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
