"""Sets up and takes down the volumes of one pod below its folder, and says where containers find them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelson.api import meta, quantities
from keelson.api.meta import Object
from keelson.kubelet.decisions.container_configs import Mount
from keelson.kubelet.decisions.environments import Sources, expand

from . import payloads, projections, syscalls
from .projections import VolumeError

_FROM_API = {
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}
_EMPTY = "kubernetes.io~empty-dir"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that is set up: the path on the host, and whether it may only be read."""

    path: str
    read_only: bool = False


class VolumeManager:
    """Volumes below `root` (the kubelet's root folder). Blocking: call it in a thread.

    Without `can_mount`, a volume that needs a mount is refused rather than handed out as an ordinary folder. Modes are
    set by chmod(2), because the umask is the service manager's and what is made here is for any user of a container.
    """

    def __init__(self, root: Path, *, can_mount: bool = True) -> None:
        self._root = root
        self._can_mount = can_mount

    def pod_folder(self, uid: str) -> Path:
        """The pod's folder."""
        return self._root / "pods" / uid

    def set_up(
        self,
        pod: Object,
        sources: Sources,
        tokens: Mapping[tuple[str, int], bytes],
        claims: Mapping[str, Object],
    ) -> dict[str, Volume]:
        """Make or refresh every volume of the pod, by name.

        `claims` are the PersistentVolumes bound to the pod's claims, by claim name. Raises VolumeError.
        """
        folder = self.pod_folder(meta.uid(pod))
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        result = {}
        for volume in pod["spec"].get("volumes") or []:
            try:
                result[volume["name"]] = self._one(pod, folder, volume, sources, tokens, claims)
            except (OSError, payloads.PayloadError, VolumeError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        return result

    def _one(
        self,
        pod: Object,
        folder: Path,
        volume: Mapping[str, Any],
        sources: Sources,
        tokens: Mapping[tuple[str, int], bytes],
        claims: Mapping[str, Object],
    ) -> Volume:
        name = volume["name"]
        context = pod["spec"].get("securityContext") or {}
        gid = -1 if context.get("fsGroup") is None else int(context["fsGroup"])
        for kind, plugin in _FROM_API.items():
            if volume.get(kind) is not None:
                path = folder / "volumes" / plugin / name
                content = projections.files(pod, volume, sources, tokens)
                if gid >= 0:
                    content = {key: payloads.File(f.content, f.mode | 0o040, f.uid) for key, f in content.items()}
                payloads.write(path, content, gid=gid)
                return Volume(str(path))
        if (empty := volume.get("emptyDir")) is not None:
            if empty.get("medium") == "Memory":
                self._demand_mounts()
            return Volume(str(_empty_dir(folder / "volumes" / _EMPTY / name, empty, gid)))
        if (host := volume.get("hostPath")) is not None:
            return Volume(_host_path(host))
        if (claim := volume.get("persistentVolumeClaim")) is not None:
            return _claimed(claims.get(claim["claimName"]), claim)
        kind = next((key for key in volume if key != "name"), "of no kind")
        raise VolumeError(f"volume source {kind} is not supported by this node")

    def _demand_mounts(self) -> None:
        if not self._can_mount:
            raise VolumeError("the kubelet's mounts are not seen by the runtime")

    def mounts(
        self, pod: Object, container: Object, volumes: Mapping[str, Volume], environment: Mapping[str, str]
    ) -> list[Mount]:
        """The container's volume mounts; sub-paths are bound so that a link in the volume can't lead out of it."""
        result = []
        for index, wanted in enumerate(container.get("volumeMounts") or []):
            volume = volumes.get(wanted["name"])
            if volume is None:
                raise VolumeError(f'volume "{wanted["name"]}" is not set up')
            path = volume.path
            sub = wanted.get("subPath") or expand(wanted.get("subPathExpr") or "", environment)
            if sub:
                path = self._sub_path(pod, container["name"], index, wanted["name"], path, sub)
            read_only = bool(wanted.get("readOnly")) or volume.read_only
            target = wanted["mountPath"]
            result.append(
                Mount(
                    container_path=target if target.startswith("/") else "/" + target,
                    host_path=path,
                    read_only=read_only,
                    propagation=wanted.get("mountPropagation") or "None",
                    recursive_read_only=read_only and wanted.get("recursiveReadOnly") == "Enabled",
                )
            )
        return result

    def _sub_path(self, pod: Object, container: str, index: int, volume: str, base: str, sub: str) -> str:
        if Path(sub).is_absolute() or ".." in Path(sub).parts:
            raise VolumeError(f"subPath {sub!r} must be relative and may not contain '..'")
        self._demand_mounts()
        target = self.pod_folder(meta.uid(pod)) / "volume-subpaths" / volume / container / str(index)
        folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _open_or_make(folder, sub)
        except OSError as error:
            if error.errno in {errno.EXDEV, errno.ELOOP}:
                raise VolumeError(f"subPath {sub!r} leads out of its volume") from error
            raise VolumeError(f"subPath {sub!r}: {error.strerror}") from error
        finally:
            os.close(folder)
        try:
            syscalls.unmount(str(target))
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            if stat.S_ISDIR(os.fstat(found).st_mode):
                target.mkdir(mode=0o750, exist_ok=True)
            else:
                target.touch(mode=0o640)
            syscalls.mount(f"/proc/self/fd/{found}", str(target), flags=syscalls.MS_BIND)
        except OSError as error:
            raise VolumeError(f"subPath {sub!r}: {error.strerror}") from error
        finally:
            os.close(found)
        return str(target)

    def release(self, uid: str) -> None:
        """Unmount and remove the pod's volumes, of which nothing is used any more; OSError where something resists."""
        for name in ("volume-subpaths", "volumes"):
            _remove(self.pod_folder(uid) / name)

    def tear_down(self, uid: str) -> None:
        """Unmount and remove all that is below the pod's folder; OSError where something resists."""
        _remove(self.pod_folder(uid))

    def pods(self) -> set[str]:
        """UIDs of the pods that have a folder."""
        folder = self._root / "pods"
        return {found.name for found in folder.iterdir()} if folder.is_dir() else set()


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    for point in syscalls.mount_points(folder):
        syscalls.unmount(point)
    if left := syscalls.mount_points(folder):
        raise OSError(errno.EBUSY, "still mounted", left[0])
    shutil.rmtree(folder)


def _open_or_make(folder: int, path: str) -> int:
    """A descriptor of the path beneath the folder; what is missing of it is made, folder by folder."""
    try:
        return syscalls.open_beneath(folder, path)
    except FileNotFoundError:
        pass
    current = os.dup(folder)
    parts = [part for part in Path(path).parts if part != "."]
    for depth, part in enumerate(parts):
        try:
            # Resolved from the volume's root each time, so that a link may point anywhere within the volume.
            found = syscalls.open_beneath(folder, "/".join(parts[: depth + 1]))
        except FileNotFoundError:
            os.mkdir(part, mode=0o700, dir_fd=current)
            os.chmod(part, 0o755, dir_fd=current)  # noqa: S103 - the folder of a container's user
            found = syscalls.open_beneath(current, part)
        finally:
            os.close(current)
        current = found
    return current


def _empty_dir(path: Path, source: Mapping[str, Any], gid: int) -> Path:
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    medium = source.get("medium") or ""
    if medium == "Memory":
        if str(path) not in syscalls.mount_points(path):
            limit = source.get("sizeLimit")
            data = f"size={quantities.whole(limit)}" if limit else ""
            syscalls.mount("tmpfs", str(path), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, data)
            fresh = True
    elif medium:
        raise VolumeError(f"emptyDir medium {medium} is not supported by this node")
    if fresh:
        path.chmod(0o777)
        if gid >= 0:
            os.chown(path, -1, gid)
            path.chmod(0o2777)
    return path


def _host_path(source: Mapping[str, Any]) -> str:
    path = Path(source["path"])
    kind = source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch()
        path.chmod(0o644)
    tests = {
        "Directory": stat.S_ISDIR,
        "DirectoryOrCreate": stat.S_ISDIR,
        "File": stat.S_ISREG,
        "FileOrCreate": stat.S_ISREG,
        "Socket": stat.S_ISSOCK,
        "CharDevice": stat.S_ISCHR,
        "BlockDevice": stat.S_ISBLK,
    }
    if kind:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError as error:
            raise VolumeError(f"hostPath type check failed: {path} does not exist") from error
        if not tests[kind](mode):
            raise VolumeError(f"hostPath type check failed: {path} is not a {kind.removesuffix('OrCreate')}")
    elif not path.exists():
        # Where no type is asked for, the runtime makes a folder; made here, it is ours to name.
        path.mkdir(parents=True)
        path.chmod(0o755)
    return str(path)


def _claimed(found: Object | None, claim: Mapping[str, Any]) -> Volume:
    if found is None:
        raise VolumeError(f'claim "{claim["claimName"]}" is not bound')
    spec = found["spec"]
    source = spec.get("hostPath") or spec.get("local")
    if source is None:
        raise VolumeError(f"persistent volume {meta.name(found)} is of a kind that this node does not support")
    return Volume(_host_path({"path": source["path"], "type": source.get("type") or ""}), bool(claim.get("readOnly")))
