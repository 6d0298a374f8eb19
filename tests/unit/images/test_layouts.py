"""An image layout holds together by its digests, and the same values are the same bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from components.setup.errors import SetupError
from images.oci import archives, layouts
from images.oci.layouts import File, Image

IMAGE = Image(
    name="keelson.local/x:1",
    architecture="amd64",
    files={
        "/usr/bin/x": File(content=b"\x7fELF", mode=0o755, capabilities=("net_bind_service",)),
        "/usr/bin/y": File(link="/usr/bin/x"),
    },
    folders={"/tmp": 0o1777},
    environment={"B": "2", "A": "1"},
    entrypoint=("/usr/bin/x",),
    user="65532:65532",
)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def test_every_digest_names_a_blob_of_its_size() -> None:
    found = members(layouts.archive(IMAGE))

    def blob(descriptor: dict[str, str | int]) -> bytes:
        content = found["blobs/" + str(descriptor["digest"]).replace(":", "/")]
        assert len(content) == descriptor["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
        return content

    (entry,) = json.loads(found["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == IMAGE.name
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"] == {"Env": ["A=1", "B=2"], "Entrypoint": ["/usr/bin/x"], "User": "65532:65532"}
    assert blob(manifest["layers"][0]) == layouts.layer(IMAGE)


def test_the_layer_has_parents_first_and_modes_as_given() -> None:
    with tarfile.open(fileobj=io.BytesIO(layouts.layer(IMAGE))) as tar:
        entries = {entry.name: entry for entry in tar}
    assert list(entries) == ["tmp", "usr", "usr/bin", "usr/bin/x", "usr/bin/y"]
    assert (entries["tmp"].isdir(), entries["tmp"].mode) == (True, 0o1777)
    assert entries["usr/bin/x"].mode == 0o755
    assert entries["usr/bin/y"].linkname == "/usr/bin/x"
    capability = entries["usr/bin/x"].pax_headers["SCHILY.xattr.security.capability"]
    assert capability.encode("utf-8", "surrogateescape").hex() == "0100000200040000" + "00" * 12


def test_the_same_values_are_the_same_bytes() -> None:
    other = Image(**{**IMAGE.__dict__, "files": dict(reversed(IMAGE.files.items()))})
    assert layouts.archive(other) == layouts.archive(IMAGE)


def test_the_definitions_of_the_project_are_valid() -> None:
    names = {path.parent.name: archives.load(path)["name"] for path in archives.definitions()}
    assert set(names) == {"coredns", "pause", "tools"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: a/b:1\nfiles: {/x: {content: ''}}\n", "required"),
        ("name: a/b:1\nfiles: {/x: {content: '', go_module: y}}\ncommand: [/x]\n", "/x"),
        ("name: a\nfiles: {/x: {content: ''}}\ncommand: [/x]\n", "name"),
        ("name: a/b:1\nfiles: {/../x: {content: ''}}\ncommand: [/x]\n", "/../x"),
    ],
)
def test_a_wrong_definition_is_refused(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "image.yaml"
    file.write_text(text)
    with pytest.raises(SetupError, match=named):
        archives.load(file)
