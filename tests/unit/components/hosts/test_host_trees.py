"""A host's upper layer hides nothing of the image that it does not mean to replace."""

from pathlib import Path

import pytest

from components.hosts import host_trees


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = tmp_path / "image"
    for folder, mode in (("etc/ssh", 0o755), ("root", 0o700), ("var/lib/etcd", 0o700), ("var/lib/containerd", 0o711)):
        (image / folder).mkdir(parents=True)
        (image / folder).chmod(mode)
    return image


@pytest.fixture
def folder(tmp_path: Path, image: Path) -> Path:
    folder = tmp_path / "host"
    folder.mkdir()
    host_trees.prepare(
        folder,
        image,
        name="dev-cp-1",
        address="10.1.2.11",
        prefix=24,
        gateway="10.1.2.1",
        host_key="PRIVATE",
        host_key_line="PUBLIC",
        authorized_key="OPERATOR",
    )
    return folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_folders_are_as_closed_as_the_images(folder: Path) -> None:
    upper = folder / "upper"
    assert mode(upper / "root") == 0o700
    assert mode(upper / "etc") == 0o755
    assert mode(upper / "root/.ssh") == 0o700
    assert mode(host_trees.data_directory(folder, "/var/lib/etcd")) == 0o700
    assert mode(host_trees.data_directory(folder, "/var/lib/containerd")) == 0o711


def test_keys_are_in_place_before_the_first_boot(folder: Path) -> None:
    upper = folder / "upper"
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    assert (key.read_text(), mode(key)) == ("PRIVATE", 0o600)
    assert (upper / "root/.ssh/authorized_keys").read_text() == "OPERATOR"


def test_the_network_file_sorts_before_systemds_own(folder: Path) -> None:
    (file,) = (folder / "upper/etc/systemd/network").iterdir()
    assert file.name < "80-container-host0.network"
    assert "Address=10.1.2.11/24\nGateway=10.1.2.1\n" in file.read_text()
