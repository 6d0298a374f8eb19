"""A host's own part of its file system.

In the host's folder, `upper` and `work` are the overlay's writable layer (kernel: overlayfs) over the image, `root` is
where the container mounts the result, empty to everyone outside, and `data` has the plain folders bound over that.
"""

import os
import uuid
from pathlib import Path

# containerd's overlay snapshotter cannot stack on an overlay, etcd and the kubelet want a real file system's fsync and
# quota behaviour.
DATA_DIRECTORIES = ("/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet")

_NETWORK = """\
# The host's only address: no DHCP, no router advertisements. Sorts before systemd's own file for containers.
[Match]
Name=host0

[Network]
Address={address}/{prefix}
Gateway={gateway}
DHCP=no
IPv6AcceptRA=no
LLDP=no
# A virtual address that keepalived put here is not networkd's to remove.
KeepConfiguration=static
"""

# Routes of the pod network and addresses of the load balancer come from daemons that networkd does not know.
_NETWORKD = """\
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
"""


def prepare(
    folder: Path,
    image: Path,
    *,
    name: str,
    address: str,
    prefix: int,
    gateway: str,
    host_key: str,
    host_key_line: str,
    authorized_key: str,
) -> None:
    """Fill the empty host folder with identity, address and keys: the first answer on port 22 is the pinned host's."""
    for part in ("upper", "work", "root", "data"):
        (folder / part).mkdir()
    upper = folder / "upper"
    contents = {
        "/etc/hostname": (f"{name}\n", 0o644),
        "/etc/hosts": (f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n", 0o644),
        "/etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
        "/etc/ssh/ssh_host_ed25519_key": (host_key, 0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": (host_key_line, 0o644),
        "/etc/systemd/network/10-host0.network": (
            _NETWORK.format(address=address, prefix=prefix, gateway=gateway),
            0o644,
        ),
        "/etc/systemd/networkd.conf.d/10-keelson.conf": (_NETWORKD, 0o644),
        "/root/.ssh/authorized_keys": (authorized_key, 0o600),
    }
    for place, (content, mode) in contents.items():
        _directory(upper, image, str(Path(place).parent))
        file = upper / place.lstrip("/")
        file.touch(mode=0o600)
        file.write_text(content)
        file.chmod(mode)
    # sshd reads no key from a folder that others may write.
    (upper / "root/.ssh").chmod(0o700)
    for directory in DATA_DIRECTORIES:
        data = data_directory(folder, directory)
        data.mkdir(parents=True)
        original = image / directory.lstrip("/")
        if original.is_dir():
            _copy_owner(original, data)


def data_directory(folder: Path, path: str) -> Path:
    """Return where the host keeps `path`, one of DATA_DIRECTORIES."""
    return folder / "data" / path.lstrip("/").replace("/", "-")


def _directory(upper: Path, image: Path, path: str) -> None:
    """Make `path` in the upper layer like the image has it: an upper folder's owner and mode hide the lower one's."""
    folder = upper
    for part in Path(path.lstrip("/")).parts:
        folder /= part
        if folder.exists():
            continue
        folder.mkdir(mode=0o755)
        original = image / folder.relative_to(upper)
        if original.is_dir():
            _copy_owner(original, folder)


def _copy_owner(source: Path, target: Path) -> None:
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    target.chmod(found.st_mode & 0o7777)
