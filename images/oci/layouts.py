"""An OCI image layout (image-spec v1.1) of one layer, assembled from plain values, the same bytes for the same values.

Pure: what is read from disk or built comes in as bytes, and the archive goes out as bytes.
"""

import hashlib
import io
import json
import struct
import tarfile
from dataclasses import dataclass, field
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"

# capabilities(7), File capabilities; linux/capability.h: revision 2, effective bit set.
_CAPABILITY_NUMBERS = {"net_bind_service": 10}
_VFS_CAP_REVISION_2_EFFECTIVE = 0x02000001


@dataclass(frozen=True, kw_only=True)
class File:
    """A regular file, or a symbolic link if `link` is its target."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Image:
    """What the layer holds, by absolute path, and how a container of it starts. `architecture` is Go's word."""

    name: str
    architecture: str
    aliases: tuple[str, ...] = ()
    files: dict[str, File]
    folders: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_directory: str = ""


def layer(image: Image) -> bytes:
    """Return the layer as a POSIX tar, entries in order of their paths, every parent before its children."""
    folders = dict(image.folders)
    for path in [*image.files, *image.folders]:
        parts = path.strip("/").split("/")[:-1]
        for count in range(1, len(parts) + 1):
            folders.setdefault("/" + "/".join(parts[:count]), 0o755)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted([*folders, *image.files]):
            entry = tarfile.TarInfo(path.strip("/"))
            file = image.files.get(path)
            if file is None:
                entry.type = tarfile.DIRTYPE
                entry.mode = folders[path]
                archive.addfile(entry)
            elif file.link:
                entry.type = tarfile.SYMTYPE
                entry.mode = 0o777
                entry.linkname = file.link
                archive.addfile(entry)
            else:
                entry.mode = file.mode
                entry.size = len(file.content)
                if file.capabilities:
                    attribute = _capability_attribute(file.capabilities)
                    entry.pax_headers = {"SCHILY.xattr.security.capability": attribute}
                archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def archive(image: Image) -> bytes:
    """Return the image layout as a tar that `ctr images import` and `docker load` of an OCI-aware engine read."""
    content = layer(image)
    layer_digest = _digest(content)
    config = _json(
        {
            "architecture": image.architecture,
            "os": "linux",
            "config": {
                "Env": [f"{name}={value}" for name, value in sorted(image.environment.items())],
                **({"Entrypoint": list(image.entrypoint)} if image.entrypoint else {}),
                **({"Cmd": list(image.command)} if image.command else {}),
                **({"User": image.user} if image.user else {}),
                **({"WorkingDir": image.working_directory} if image.working_directory else {}),
            },
            # Not compressed, so that the layer is its own diff.
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, content)],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [
                {
                    **_descriptor(_MANIFEST, manifest),
                    "platform": {"architecture": image.architecture, "os": "linux"},
                    "annotations": {
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                    },
                }
                for name in (image.name, *image.aliases)
            ],
        }
    )
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": index}
    files |= {f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in (config, content, manifest)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, blob in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            entry.size = len(blob)
            tar.addfile(entry, io.BytesIO(blob))
    return buffer.getvalue()


def _capability_attribute(names: tuple[str, ...]) -> str:
    permitted = sum(1 << _CAPABILITY_NUMBERS[name] for name in names)
    data = struct.pack("<IIIII", _VFS_CAP_REVISION_2_EFFECTIVE, permitted & 0xFFFFFFFF, 0, permitted >> 32, 0)
    # tarfile writes text; a byte that is no UTF-8 goes through as itself.
    return data.decode("utf-8", "surrogateescape")


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
