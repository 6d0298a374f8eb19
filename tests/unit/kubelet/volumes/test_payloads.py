from __future__ import annotations

from pathlib import Path

import pytest

from keelson.kubelet.volumes.payloads import File, PayloadError, write


def test_files_are_links_into_one_generation(tmp_path: Path) -> None:
    assert write(tmp_path, {"a": File(b"1", 0o644), "deep/b": File(b"2", 0o400)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert (tmp_path / "deep" / "b").stat().st_mode & 0o777 == 0o400
    assert not write(tmp_path, {"a": File(b"1", 0o644), "deep/b": File(b"2", 0o400)})


def test_a_change_switches_all_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1", 0o644), "gone": File(b"x", 0o644)})
    before = (tmp_path / "..data").readlink()
    kept = (tmp_path / "a").open("rb")
    assert write(tmp_path, {"a": File(b"2", 0o644), "new": File(b"y", 0o644)})
    assert (tmp_path / "..data").readlink() != before
    with kept:
        assert kept.read() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a", "new"]
    assert not (tmp_path / before).exists()


def test_what_a_crash_left_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "..1").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..1")
    write(tmp_path, {"a": File(b"1", 0o644)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "..data").readlink() == Path("..2")


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", "..a", ""])
def test_paths_stay_inside(tmp_path: Path, path: str) -> None:
    with pytest.raises(PayloadError):
        write(tmp_path, {path: File(b"", 0o644)})
