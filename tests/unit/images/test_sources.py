"""A bundle's version changes with its content, and what is not content does not enter it."""

from pathlib import Path

import pytest

from images.bundle import sources

PROJECT = (
    '[project]\nversion = "1.2.3"\n[project.scripts]\none = "keelson.one:main"\ntwo = "keelson.two.__main__:run"\n'
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "src/keelson"
    package.mkdir(parents=True)
    (package / "one.py").write_text("def main(): ...\n")
    for name, content in (("pyproject.toml", PROJECT), ("README.md", ""), ("LICENSE", ""), ("uv.lock", "")):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_content_and_names_make_the_digest(checkout: Path) -> None:
    before = sources.read(checkout)
    (checkout / "src/keelson/__pycache__").mkdir()
    (checkout / "src/keelson/__pycache__/one.pyc").write_text("x")
    (checkout / "elsewhere.py").write_text("x")
    assert sources.read(checkout).digest() == before.digest()
    (checkout / "src/keelson/one.py").rename(checkout / "src/keelson/uno.py")
    assert sources.read(checkout).digest() != before.digest()


def test_what_was_read_is_what_is_written(checkout: Path, tmp_path: Path) -> None:
    read = sources.read(checkout)
    (checkout / "src/keelson/one.py").write_text("edited meanwhile")
    read.write(tmp_path / "copy")
    assert (tmp_path / "copy/src/keelson/one.py").read_text() == "def main(): ...\n"


def test_only_entry_points_that_exist_become_binaries(checkout: Path) -> None:
    read = sources.read(checkout)
    assert read.project_version() == "1.2.3"
    assert read.entry_points() == {"one": ("keelson.one", "main")}
    assert read.missing_entry_points() == ["two"]
