"""System calls that Python's standard library lacks: mount(2), umount2(2), openat2(2)."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

MS_BIND, MS_REMOUNT, MS_RDONLY = 4096, 32, 1
MS_NOSUID, MS_NODEV = 2, 4
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_O_PATH = 0o10000000

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); OSError names the target."""
    if _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, data.encode() or None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def unmount(target: str) -> None:
    """umount2(2), lazily; nothing where the target is no mount point or is not there."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW):
        code = ctypes.get_errno()
        if code not in {errno.EINVAL, errno.ENOENT}:
            raise OSError(code, os.strerror(code), target)


def open_beneath(folder: int, path: str, *, flags: int = 0) -> int:
    """A descriptor of `path` below the open folder; OSError (EXDEV) where a symbolic link or ".." leads out of it."""
    how = _OpenHow(flags=(flags or _O_PATH) | os.O_CLOEXEC, mode=0, resolve=_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    found = _libc.syscall(_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int(found)


def mount_points(below: Path) -> list[str]:
    """The mount points at or below a folder, the deepest first (proc_pid_mountinfo(5))."""
    prefix = str(below)
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)
