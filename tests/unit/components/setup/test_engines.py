"""The roads to Pulumi: the version is the SDK's, a wrong one is passed by, and an installer out of reach fails fast."""

import os
import re
import time
import tomllib
from pathlib import Path

import pytest

from components.setup import engines, go_modules

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "keelson"


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def engine(folder: Path, version: str) -> Path:
    program(folder, "pulumi", f"echo v{version}")
    program(folder, "pulumi-language-python", "")
    program(folder, "pulumi-language-python-exec", "")
    return folder


def test_the_version_is_that_of_the_locked_sdk_and_of_the_modules() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert f"pulumi=={engines.VERSION}" in groups["toolkit"]
    pins = (ROOT / "tools" / "pulumi" / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{engines.VERSION}" in pins
    assert f"github.com/pulumi/pulumi/sdk/v3 v{engines.VERSION}" in pins


def test_the_fetched_toolchain_is_enough_for_every_tool() -> None:
    for module in (ROOT / "tools").glob("*/go.mod"):
        assert go_modules.required(module.parent) <= go_modules.version(go_modules.TOOLCHAIN), module


def test_an_engine_on_path_is_taken_if_it_is_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    engine(folder, "3.1.0")
    assert engines.on_path() is None
    engine(folder, engines.VERSION)
    assert engines.on_path() == folder
    (folder / "pulumi-language-python").unlink()
    assert engines.on_path() is None


def installer(path: Path, version: str) -> str:
    path.write_text(
        f"""while [ $# -gt 0 ]; do
            case $1 in
                --version) [ "$2" = {engines.VERSION} ] || exit 3; shift ;;
                --install-root) root=$2; shift ;;
                --no-edit-path) ;;
                *) exit 2 ;;
            esac
            shift
        done
        mkdir -p "$root/bin"
        printf '#!/bin/sh\\necho v{version}\\n' >"$root/bin/pulumi"
        chmod 755 "$root/bin/pulumi"
        """
    )
    return path.as_uri()


def test_the_installer_fills_the_cache(tmp_path: Path, cache: Path) -> None:
    folder = engines.by_installer(installer(tmp_path / "install.sh", engines.VERSION))
    assert folder is not None
    assert folder.is_relative_to(cache)
    assert engines.cached(ROOT) == folder


def test_an_installer_of_another_version_leaves_nothing(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engines.by_installer(installer(tmp_path / "install.sh", "9.9.9")) is None
    assert "another version" in capsys.readouterr().err
    assert engines.cached(ROOT) is None
    assert not [path for path in (cache / "pulumi").iterdir() if path.is_dir()]


def test_an_installer_out_of_reach_is_given_up_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert engines.by_installer("http://127.0.0.1:1/") is None
    assert time.monotonic() - started < 10
    assert re.search(r"installer is of no use here \(curl: .*\)", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "numbers"), [("go1.25.11", (1, 25, 11)), ("1.18", (1, 18, 0)), ("go1.26rc1", (1, 26, 0))]
)
def test_go_versions(text: str, numbers: tuple[int, ...]) -> None:
    assert go_modules.version(text) == numbers


def test_what_is_no_go_version_is_refused() -> None:
    with pytest.raises(ValueError, match="devel"):
        go_modules.version("devel +abc")
