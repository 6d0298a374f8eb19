from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions.environments import Sources
from keelson.kubelet.volumes import syscalls
from keelson.kubelet.volumes.managers import VolumeManager
from keelson.kubelet.volumes.projections import VolumeError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount(2) needs root")


def pod(volume: Any, mounts: Any = (), **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "d", "uid": "u", "labels": {"app": "x"}},
        "spec": {
            "containers": [{"name": "c", "volumeMounts": list(mounts)}],
            "volumes": [{"name": "v", **volume}],
            **spec,
        },
    }


def test_a_projected_volume_joins_its_sources(tmp_path: Path) -> None:
    sources = [
        {"configMap": {"name": "cm", "items": [{"key": "k", "path": "sub/k"}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "none", "optional": True}},
    ]
    made = pod({"projected": {"sources": sources}}, securityContext={"runAsUser": 1000})
    found = VolumeManager(tmp_path).set_up(
        made,
        Sources(config_maps={"cm": {"data": {"k": "v"}}, "none": None}, secrets={"s": {"p": b"q"}}),
        {("", 600): b"jwt"},
        {},
    )
    folder = Path(found["v"].path)
    names = ("sub/k", "p", "labels", "token")
    assert [(folder / name).read_bytes() for name in names] == [b"v", b"q", b'app="x"', b"jwt"]
    token = (folder / "token").stat()
    assert (token.st_mode & 0o777, token.st_uid) == (0o600, 1000)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "none"}}, 'volume "v" : configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'volume "v" : secret "none" not found'),
        ({"nfs": {"server": "x", "path": "/"}}, "volume source nfs is not supported"),
        ({"hostPath": {"path": "/nowhere", "type": "Directory"}}, "does not exist"),
        ({"hostPath": {"path": "/etc/passwd", "type": "Directory"}}, "is not a Directory"),
    ],
)
def test_what_can_not_be_set_up_is_named(tmp_path: Path, volume: Any, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        VolumeManager(tmp_path).set_up(pod(volume), Sources(config_maps={"none": None}, secrets={"none": None}), {}, {})


def test_an_empty_dir_keeps_its_content_and_its_group(tmp_path: Path) -> None:
    manager = VolumeManager(tmp_path)
    made = pod({"emptyDir": {}}, securityContext={"fsGroup": 2000})
    path = Path(manager.set_up(made, Sources(), {}, {})["v"].path)
    assert (path.stat().st_mode & 0o7777, path.stat().st_gid) == (0o2777, 2000)
    (path / "kept").touch()
    manager.set_up(made, Sources(), {}, {})
    assert (path / "kept").exists()
    manager.release("u")
    assert not path.exists()
    assert manager.pods() == {"u"}
    manager.tear_down("u")
    assert manager.pods() == set()


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    made = pod({"configMap": {"name": "cm", "items": [{"key": "k", "path": "a/b"}]}})
    before = os.umask(0o077)
    try:
        path = Path(
            VolumeManager(tmp_path).set_up(made, Sources(config_maps={"cm": {"data": {"k": "v"}}}), {}, {})["v"].path
        )
        host = pod({"hostPath": {"path": str(tmp_path / "host"), "type": "DirectoryOrCreate"}})
        VolumeManager(tmp_path).set_up(host, Sources(), {}, {})
    finally:
        os.umask(before)
    modes = [found.stat().st_mode & 0o777 for found in (path, path / "a", path / "a" / "b", tmp_path / "host")]
    assert modes == [0o755, 0o755, 0o644, 0o755]


def test_without_shared_mounts_what_needs_one_is_refused(tmp_path: Path) -> None:
    manager = VolumeManager(tmp_path, can_mount=False)
    with pytest.raises(VolumeError, match="not seen by the runtime"):
        manager.set_up(pod({"emptyDir": {"medium": "Memory"}}), Sources(), {}, {})
    made = pod({"emptyDir": {}}, [{"name": "v", "mountPath": "/a", "subPath": "x"}])
    volumes = manager.set_up(made, Sources(), {}, {})
    with pytest.raises(VolumeError, match="not seen by the runtime"):
        manager.mounts(made, made["spec"]["containers"][0], volumes, {})


@needs_root
@pytest.mark.lab
def test_memory_and_sub_paths_are_mounted_and_unmounted(tmp_path: Path) -> None:
    manager = VolumeManager(tmp_path)
    mounts = [
        {"name": "v", "mountPath": "/a", "subPath": "deep/er"},
        {"name": "v", "mountPath": "/b", "subPath": "file", "readOnly": True},
        {"name": "v", "mountPath": "/c", "subPathExpr": "$(POD)"},
    ]
    made = pod({"emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}}, mounts)
    volumes = manager.set_up(made, Sources(), {}, {})
    base = Path(volumes["v"].path)
    (base / "file").write_text("content")
    try:
        found = manager.mounts(made, made["spec"]["containers"][0], volumes, {"POD": "p-1"})
        assert (base / "deep/er").is_dir()
        assert (base / "p-1").is_dir()
        assert Path(found[1].host_path).read_text() == "content"
        assert [mount.read_only for mount in found] == [False, True, False]
        assert len(syscalls.mount_points(tmp_path)) == 4
        with pytest.raises(OSError, match="No space left"):
            (base / "big").write_bytes(b"x" * 100_000)
    finally:
        manager.tear_down("u")
    assert not syscalls.mount_points(tmp_path)


@needs_root
@pytest.mark.lab
@pytest.mark.parametrize("sub", ["escape", "escape/passwd", "../x", "/etc"])
def test_a_sub_path_never_leads_out_of_its_volume(tmp_path: Path, sub: str) -> None:
    manager = VolumeManager(tmp_path)
    made = pod({"emptyDir": {}}, [{"name": "v", "mountPath": "/a", "subPath": sub}])
    volumes = manager.set_up(made, Sources(), {}, {})
    (Path(volumes["v"].path) / "escape").symlink_to("/etc")
    with pytest.raises(VolumeError, match="subPath"):
        manager.mounts(made, made["spec"]["containers"][0], volumes, {})
    assert not syscalls.mount_points(tmp_path)
