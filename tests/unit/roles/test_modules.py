"""The host's halves of the roles' modules, on a folder that stands for a host."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles import sources

files = sources.module("plugins/modules/keelson_files.py")
units = sources.module("plugins/modules/keelson_units.py")

ME, MY_GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def entry(path: Path, body: bytes, **more: Any) -> dict[str, Any]:
    """A file as the operator's half describes it."""
    found = {
        "path": str(path),
        "sha256": hashlib.sha256(body).hexdigest(),
        "mode": "0640",
        "owner": ME,
        "group": MY_GROUP,
    }
    return {**found, "unit": None, "secret": False, **more}


@pytest.fixture(autouse=True)
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where manifests go."""
    monkeypatch.setattr(files, "MANIFESTS", tmp_path / "manifest.d")
    return tmp_path / "manifest.d"


root = pytest.mark.skipif(os.getuid() != 0, reason="manifests are written as root's")


@root
def test_places_records_and_settles(tmp_path: Path, manifests: Path) -> None:
    wanted = [entry(tmp_path / "etc" / "a", b"one\n")]
    first = files.place("role", wanted, [b"one\n"], check=False)
    assert first["changed"]
    assert (tmp_path / "etc" / "a").read_bytes() == b"one\n"
    assert (tmp_path / "etc" / "a").stat().st_mode & 0o7777 == 0o640
    assert json.loads((manifests / "role.json").read_text())["files"] == wanted
    assert not files.place("role", wanted, [b"one\n"], check=False)["changed"]
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["a"]


@root
@pytest.mark.parametrize("drift", ["content", "mode", "gone", "link"])
def test_repairs_drift_and_only_that(tmp_path: Path, drift: str) -> None:
    wanted = [entry(tmp_path / "a", b"one\n"), entry(tmp_path / "b", b"two\n")]
    bodies = [b"one\n", b"two\n"]
    files.place("role", wanted, bodies, check=False)
    untouched = (tmp_path / "b").stat().st_ino
    target = tmp_path / "a"
    match drift:
        case "content":
            target.write_bytes(b"other\n")
        case "mode":
            target.chmod(0o666)
        case "gone":
            target.unlink()
        case "link":
            target.unlink()
            target.symlink_to(tmp_path / "b")
    assert files.place("role", wanted, bodies, check=True)["files"] == [str(target)]
    assert files.place("role", wanted, bodies, check=False)["files"] == [str(target)]
    assert target.read_bytes() == b"one\n"
    assert not target.is_symlink()
    assert (tmp_path / "b").stat().st_ino == untouched


@root
def test_units_are_told_of_a_repair(tmp_path: Path) -> None:
    wanted = [entry(tmp_path / "a", b"one\n", unit="x.service"), entry(tmp_path / "b", b"two\n", unit="y.service")]
    first = files.place("role", wanted, [b"one\n", b"two\n"], check=False)["units"]
    assert files.place("role", wanted, [b"one\n", b"two\n"], check=False)["units"] == first
    (tmp_path / "a").write_bytes(b"by hand\n")
    foreseen = files.place("role", wanted, [b"one\n", b"two\n"], check=True)["units"]
    repaired = files.place("role", wanted, [b"one\n", b"two\n"], check=False)["units"]
    for seen in (foreseen, repaired):
        assert seen["x.service"] != first["x.service"]
        assert seen["y.service"] == first["y.service"]


@root
def test_removes_what_it_no_longer_has(tmp_path: Path) -> None:
    both = [entry(tmp_path / "a", b"one\n"), entry(tmp_path / "b", b"two\n")]
    files.place("role", both, [b"one\n", b"two\n"], check=False)
    assert files.place("role", both[:1], [b"one\n"], check=False)["files"] == [str(tmp_path / "b")]
    assert not (tmp_path / "b").exists()


def test_check_changes_nothing(tmp_path: Path, manifests: Path) -> None:
    assert files.place("role", [entry(tmp_path / "a", b"one\n")], [b"one\n"], check=True)["changed"]
    assert not (tmp_path / "a").exists()
    assert not manifests.exists()


def test_secrets_are_shown_as_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old secret\n")
    answer = files.place("role", [entry(tmp_path / "a", b"new secret\n", secret=True)], [b"new secret\n"], check=True)
    assert "secret\n" not in json.dumps(answer)
    assert hashlib.sha256(b"new secret\n").hexdigest() in json.dumps(answer["diff"])


def test_missing_account_is_refused_by_name(tmp_path: Path) -> None:
    stranger = entry(tmp_path / "a", b"", owner="nobody-of-that-name")
    with pytest.raises(files.RefusedError, match="nobody-of-that-name"):
        files.place("role", [stranger], [b""], check=False)
    assert files.place("role", [stranger], [b""], check=True)["changed"]


def test_damaged_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(files.RefusedError, match="damaged"):
        files.place("role", [entry(tmp_path / "a", b"one\n")], [b"two\n"], check=False)


UNIT = {"name": "x.service", "enabled": True, "state": "started"}
RUNNING = {"ActiveState": "active", "UnitFileState": "enabled"}
OLD, NEW_FILE = {"definition": "d1", "configuration": "c1"}, {"definition": "d1", "configuration": "c2"}
NEW_UNIT = {"definition": "d2", "configuration": "c1"}


@pytest.mark.parametrize(
    ("unit", "state", "digest", "applied", "calls"),
    [
        (UNIT, RUNNING, OLD, OLD, []),
        (UNIT, {}, OLD, None, [["enable", "x.service"], ["start", "--no-block", "x.service"]]),
        (UNIT, {**RUNNING, "ActiveState": "failed"}, OLD, OLD, [["start", "--no-block", "x.service"]]),
        (UNIT, RUNNING, NEW_FILE, OLD, [["restart", "--no-block", "x.service"]]),
        # A convergence was cut off before it could record what the unit runs with.
        (UNIT, RUNNING, OLD, None, [["restart", "--no-block", "x.service"]]),
        # What starts now needs no restart besides.
        (UNIT, {**RUNNING, "ActiveState": "inactive"}, NEW_FILE, OLD, [["start", "--no-block", "x.service"]]),
        ({**UNIT, "on_change": "reload"}, RUNNING, NEW_FILE, OLD, [["reload-or-restart", "--no-block", "x.service"]]),
        ({**UNIT, "on_change": "reload"}, RUNNING, NEW_UNIT, OLD, [["restart", "--no-block", "x.service"]]),
        ({**UNIT, "wait": True}, RUNNING, NEW_FILE, OLD, [["restart", "x.service"]]),
        (
            {**UNIT, "state": "stopped", "enabled": False},
            RUNNING,
            OLD,
            OLD,
            [["disable", "x.service"], ["stop", "x.service"]],
        ),
    ],
)
def test_units(unit: Any, state: Any, digest: Any, applied: Any, calls: list[list[str]]) -> None:
    assert units.decide(unit, state, digest, applied) == calls
