"""Which kubectl is used: one within a minor version of our servers, else the one of `tools/kubectl`."""

import json
from pathlib import Path

import pytest

from components.setup import caches, kubectls

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kubectl(folder: Path, minor: str) -> Path:
    folder.mkdir()
    told = json.dumps({"clientVersion": {"major": "1", "minor": minor}})
    (folder / "kubectl").write_text(f"#!/bin/sh\necho '{told}'\n")
    (folder / "kubectl").chmod(0o755)
    return folder


@pytest.mark.parametrize(("minor", "fits"), [("36", True), ("35+", True), ("37", True), ("34", False), ("20", False)])
def test_the_version_skew_policy(minor: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kubectl(tmp_path / "bin", minor)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    built = tmp_path / "built"
    monkeypatch.setattr(caches, "entry", lambda *_, **__: built)
    assert kubectls.find(ROOT) == (folder if fits else built)


def test_the_version_is_that_of_the_module() -> None:
    minor, patch = kubectls.VERSION.split(".")[1:]
    assert f"k8s.io/kubectl v0.{minor}.{patch}" in (ROOT / "tools" / "kubectl" / "go.mod").read_text()


@pytest.mark.parametrize(("minor", "version"), kubectls.RELEASES.items())
def test_each_release_is_the_one_that_is_pinned(minor: str, version: str) -> None:
    folder = "kubectl" if version == kubectls.VERSION else f"kubectl-{minor}"
    pinned = (ROOT / "tools" / folder / "go.mod").read_text()
    assert version.startswith(f"{minor}.")
    assert f"k8s.io/kubectl v0{version.removeprefix('1')}\n" in pinned
