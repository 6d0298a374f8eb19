"""The cache: entries are whole or absent, also after a killed build and with two builders at once."""

import os
import threading
from pathlib import Path

import pytest

from components.setup import caches


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "keelson"


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caches.root() == tmp_path / ".cache" / "keelson"


def test_the_digest_keeps_apart_what_is_split_differently(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    before = caches.digest(["ab", "c"], [file])
    assert before != caches.digest(["a", "bc"], [file])
    file.write_text("y")
    assert before != caches.digest(["ab", "c"], [file])


def test_an_entry_is_built_once(cache: Path) -> None:
    built = []

    def build(place: Path) -> None:
        built.append(place)
        (place / "file").write_text("content")

    first = caches.entry("kind", "key", build, what="x")
    assert caches.entry("kind", "key", build, what="x") == first == cache / "kind" / "key"
    assert (first / "file").read_text() == "content"
    assert len(built) == 1


def test_a_failed_build_leaves_no_entry(cache: Path) -> None:
    def build(place: Path) -> None:
        (place / "half").write_text("")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        caches.entry("kind", "key", build, what="x")
    assert [path.name for path in (cache / "kind").iterdir()] == ["key.lock"]


def test_what_a_killed_build_left_is_removed(cache: Path) -> None:
    left = cache / "kind" / ".key.killed"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    caches.entry("kind", "key", lambda place: None, what="x")
    assert sorted(path.name for path in (cache / "kind").iterdir()) == ["key", "key.lock"]


def test_a_second_builder_waits_and_takes_what_the_first_made(cache: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    built = []

    def slow(place: Path) -> None:
        built.append("slow")
        begun.set()
        assert go_on.wait(10)

    def other(place: Path) -> None:
        built.append("other")

    first = threading.Thread(target=caches.entry, args=("kind", "key", slow), kwargs={"what": "x"})
    second = threading.Thread(target=caches.entry, args=("kind", "key", other), kwargs={"what": "x"})
    first.start()
    assert begun.wait(10)
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert built == ["slow"]
    assert (cache / "kind" / "key").is_dir()


def test_an_entry_that_nobody_asked_for_goes_when_another_comes(cache: Path) -> None:
    def build(place: Path) -> None:
        (place / "file").touch()

    old, used = (caches.entry("kind", key, build, what="x") for key in ("old", "used"))
    other = caches.entry("another", "old", build, what="x")
    for place in (old, used, other):
        os.utime(place, (1, 1))
    caches.entry("kind", "used", build, what="x")
    caches.entry("kind", "new", build, what="x", kept_seconds=3600)
    assert (old.exists(), used.exists(), other.exists()) == (False, True, True)
