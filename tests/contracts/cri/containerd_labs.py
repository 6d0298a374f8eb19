"""A containerd of the test's own: in its own PID, mount and network namespaces, which end with it.

The PID namespace is what makes the end certain: shims outlive containerd by design, but
not the namespace's first process.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

PAUSE = "keelson.test/pause:1"
TOOLS = "keelson.test/tools:1"

_CONFIG = """
version = 2
root = "{root}/root"
state = "{root}/state"
[grpc]
  address = "{root}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_cgroup = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{root}/cni"
"""

# 10.213.0.0/24 exists only inside of the lab's network namespace.
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "lab",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.213.0.0/24"}]], "dataDir": "{root}/ipam"},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

# CRI wants a cgroup2 hierarchy even where it has no controllers: it sees the lab's own cgroup as the root of one.
_INSIDE = """
set -eu
mount -t proc proc /proc
mount --make-rprivate /
# Where containerd keeps the pods' network namespaces: what is left of a killed lab must not stay on the machine.
mkdir -p /run/netns
mount -t tmpfs none /run/netns
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p {root}/root
ip link set lo up
exec containerd --config {root}/config.toml
"""


class ContainerdLab:
    """One containerd; `socket` is its CRI endpoint, `pid` a process in its namespaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.socket = root / "containerd.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = root / "containerd.log"
        self._cgroup: Path | None = None

    @staticmethod
    def missing() -> str:
        """What this machine lacks for a lab, "" where nothing."""
        if os.geteuid() != 0:
            return "root"
        wanted = ("containerd", "ctr", "runc", "catatonit", "busybox", "unshare")
        absent = [name for name in wanted if shutil.which(name) is None]
        if not Path("/usr/lib/cni/bridge").exists():
            absent.append("containernetworking-plugins")
        return ", ".join(absent)

    def start(self) -> None:
        """Start, wait until CRI answers, and load the two test images."""
        (self.root / "cni").mkdir(parents=True, exist_ok=True)
        network = json.dumps(_NETWORK).replace("{root}", str(self.root))
        (self.root / "cni" / "10-lab.conflist").write_text(network)
        (self.root / "config.toml").write_text(_CONFIG.format(root=self.root, pause=PAUSE))
        self._cgroup = _cgroup_root() / f"keelson-test-{os.getpid()}-{id(self):x}"
        self._cgroup.mkdir()
        spaces = "--cgroup --mount --net --pid --fork --kill-child"
        enter = f'echo $$ > {self._cgroup}/cgroup.procs && exec unshare {spaces} sh -c "$0"'
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", enter, _INSIDE.format(root=self.root)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_serving()
        self.load(PAUSE, {"pause": shutil.which("catatonit") or ""}, ["/pause", "-P"], {})
        applets = (
            "sh",
            "wget",
            "httpd",
            "sleep",
            "cat",
            "echo",
            "ls",
            "id",
            "env",
            "nc",
            "touch",
            "kill",
            "mkdir",
            "tar",
        )
        self.load(
            TOOLS, {"bin/busybox": shutil.which("busybox") or ""}, ["/bin/sh"], {f"bin/{a}": "busybox" for a in applets}
        )

    def _await_serving(self) -> None:
        assert self._process is not None
        with self._log.open("rb") as log:
            seen = b""
            while b"containerd successfully booted" not in seen:
                if self._process.poll() is not None:
                    raise RuntimeError(f"containerd ended: {self._log.read_text()[-2000:]}")
                select.select([], [], [], 0.05)
                seen += log.read()

    @property
    def pid(self) -> int:
        """The process that is 1 inside of the lab, as seen from outside."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def load(self, name: str, files: dict[str, str], entrypoint: list[str], links: dict[str, str]) -> None:
        """Import an image made of these files (path in the image: file here) and symbolic links."""
        archive = self.root / "image.tar"
        archive.write_bytes(_image(name, files, entrypoint, links))
        subprocess.run(
            ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import", str(archive)],
            check=True,
            capture_output=True,
        )
        archive.unlink()

    def kill(self) -> None:
        """End everything that runs in the lab."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None
        if self._cgroup is not None:
            _remove_cgroup(self._cgroup)


def _cgroup_root() -> Path:
    """Where this machine's cgroup2 hierarchy is mounted (proc_mounts(5))."""
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split(" ")
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise RuntimeError("this machine has no cgroup2 hierarchy")


def _remove_cgroup(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while folder.exists():
        children = sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True)
        try:
            for found in [*(child for child in children if child.is_dir()), folder]:
                found.rmdir()
        except OSError:
            # The last of the killed processes is on its way out; the kernel tells nobody when.
            assert time.monotonic() < deadline, f"{folder} is still in use"
            time.sleep(0.05)


def _image(name: str, files: dict[str, str], entrypoint: list[str], links: dict[str, str]) -> bytes:
    """An image in the layout of `docker save`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("tmp", "etc", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        content = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        for path, source in files.items():
            data = Path(source).read_bytes()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    blob = layer.getvalue()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(blob).hexdigest()]},
    }
    described = json.dumps(config).encode()
    config_name = hashlib.sha256(described).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in ((config_name, described), ("layer.tar", blob), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()
