"""A clone's state folder, passphrase and backend; the environment that `make env` prints."""

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from components.setup import clones
from components.setup.clones import Clone
from components.setup.errors import SetupError


def clone(root: Path, **environ: str) -> Clone:
    (root / "stacks").mkdir(exist_ok=True)
    for name in ("dev", "ha"):
        (root / "stacks" / f"Pulumi.{name}.yaml").touch()
    return Clone(root, {"PATH": "/usr/bin:/bin", "PULUMI_HOME": str(root / "home"), **environ})


def give_state(root: Path) -> None:
    stacks = root / ".state" / "pulumi" / ".pulumi" / "stacks" / clones.PROJECT
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text("{}")


def login(root: Path) -> None:
    (root / "home").mkdir()
    (root / "home" / "credentials.json").write_text(json.dumps({"current": "https://pulumi.example"}))


def test_the_passphrase_is_made_once_and_for_the_operator_alone(tmp_path: Path) -> None:
    file = clone(tmp_path).passphrase()
    assert file is not None
    first = file.read_text()
    assert len(first.strip()) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert clone(tmp_path).passphrase() == file
    assert file.read_text() == first
    assert [path.name for path in file.parent.iterdir()] == ["passphrase"]


def test_state_without_its_passphrase_stops_everything(tmp_path: Path) -> None:
    give_state(tmp_path)
    with pytest.raises(SetupError, match=r"passphrase is missing and the state of dev .* restore the file"):
        clone(tmp_path).passphrase()
    assert not (tmp_path / ".state" / "passphrase").exists()


def test_a_passphrase_of_the_operators_own_is_left_alone(tmp_path: Path) -> None:
    give_state(tmp_path)
    assert clone(tmp_path, PULUMI_CONFIG_PASSPHRASE="").passphrase() is None
    assert clone(tmp_path, PULUMI_CONFIG_PASSPHRASE_FILE="/elsewhere").passphrase() is None


def test_the_backend_is_a_folder_of_the_clone_unless_chosen_otherwise(tmp_path: Path) -> None:
    assert clone(tmp_path).backend() == f"file://{tmp_path}/.state/pulumi"
    assert clone(tmp_path, PULUMI_BACKEND_URL="s3://bucket").backend() == "s3://bucket"
    login(tmp_path)
    assert clone(tmp_path).backend() is None


def test_state_that_the_clone_has_outweighs_a_login(tmp_path: Path) -> None:
    login(tmp_path)
    give_state(tmp_path)
    assert clone(tmp_path).backend() == f"file://{tmp_path}/.state/pulumi"


def test_an_unknown_environment_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no environment prod: use one of dev, ha"):
        clone(tmp_path).stack("prod")
    with pytest.raises(SetupError, match="no name of an environment"):
        clone(tmp_path).stack("../dev")


def test_a_shell_reads_back_what_env_prints(tmp_path: Path) -> None:
    root = tmp_path / "it's a clone"
    root.mkdir()
    variables = clone(root).stack("ha").exports(Path("/engine"))
    script = clones.shell(variables) + 'printf "%s\\n" "$PULUMI_STACK" "$VIRTUAL_ENV" "$PATH"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[:2] == ["ha", f"{root}/.venv"]
    assert shown[2].split(":") == [
        f"{root}/.venv/bin",
        f"{root}/components/provider/bin",
        "/engine",
        "/usr/bin",
        "/bin",
    ]
    assert "%20" in variables["PULUMI_BACKEND_URL"]
    assert shlex.split(clones.shell(variables))[0] == "export"
    # An environment that was evaluated twice does not grow.
    again = Clone(root, {**variables}).stack("ha").exports(Path("/engine"))
    assert again["PATH"] == variables["PATH"]


def test_children_do_not_inherit_what_make_told_us(tmp_path: Path) -> None:
    environment = clone(tmp_path, MAKEFLAGS="s", PYTHONHOME="/x", LANG="C").stack("dev").environment(Path("/engine"))
    assert environment["LANG"] == "C"
    assert not {"MAKEFLAGS", "PYTHONHOME"} & environment.keys()
