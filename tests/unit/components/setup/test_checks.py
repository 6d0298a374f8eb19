"""What `make check` looks at, and that one failing tool fails the whole."""

from pathlib import Path

import pytest

from components.setup import checks
from components.setup.errors import SetupError

ROOT = Path(__file__).parents[4]


def test_shell_scripts_are_found_by_their_first_line(tmp_path: Path) -> None:
    for name, text in {"a": "#!/bin/sh\n", "b.sh": "#!/bin/bash\n", "c": "#!/bin/sh -eu\n", "d": "x"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "e").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to("a")
    assert checks.shell_scripts(tmp_path) == [Path("a"), Path("c")]


def test_the_scripts_of_this_repository_are_found() -> None:
    assert {Path(".ci/run"), Path("components/setup/bootstrap.sh")} <= set(checks.shell_scripts(ROOT))


def tools(root: Path, failing: str) -> None:
    folder = root / ".venv" / "bin"
    folder.mkdir(parents=True)
    for check in checks.checks(root):
        program = folder / check.arguments[0]
        program.write_text(f"#!/bin/sh\necho from {program.name}\n[ {program.name} != {failing} ]\n")
        program.chmod(0o755)


def test_one_failure_fails_all_and_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools(tmp_path, failing="mypy")
    assert checks.run(tmp_path, {}) == 1
    told = capsys.readouterr().err
    assert "check failed: mypy\n" in told
    assert "from mypy" in told
    assert "from yamllint" not in told


def test_all_pass(tmp_path: Path) -> None:
    tools(tmp_path, failing="none")
    assert checks.run(tmp_path, {}) == 0


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    tools(tmp_path, failing="none")
    (tmp_path / ".venv" / "bin" / "yamllint").unlink()
    with pytest.raises(SetupError, match="yamllint is not in the virtual environment"):
        checks.run(tmp_path, {})
