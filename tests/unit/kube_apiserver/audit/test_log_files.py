"""The audit log's files: turned over when large, kept by number and age, nobody else's to read."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from keelson.kube_apiserver.audit import log_files
from keelson.kube_apiserver.audit.log_files import LogFile
from keelson.kube_apiserver.audit.records import source_ips


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes of ten bytes."""
    monkeypatch.setattr(log_files, "_MEGABYTE", 10)


def test_a_large_log_is_turned_over(tmp_path: Path, small: None) -> None:
    file = LogFile(str(tmp_path / "logs" / "audit.log"), megabytes=2)
    for number in range(5):
        file.write(b"line %d..\n" % number)
    file.close()
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names[-1] == "audit.log"
    assert all(re.fullmatch(r"audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log", name) for name in names[:-1])
    content = b"".join((tmp_path / "logs" / name).read_bytes() for name in names)
    assert content == b"".join(b"line %d..\n" % number for number in range(5))
    assert (tmp_path / "logs" / "audit.log").stat().st_mode & 0o777 == 0o600


def test_old_logs_go(tmp_path: Path, small: None) -> None:
    for stamp in ("2001-01-01T00-00-00.000", "2002-01-01T00-00-00.000"):
        (tmp_path / f"audit-{stamp}.log").write_text("old")
    (tmp_path / "audit-notes.log").write_text("another's")
    file = LogFile(str(tmp_path / "audit.log"), megabytes=1, backups=2, compress=True)
    file.write(b"0123456789")
    file.write(b"0123456789")
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert "audit-notes.log" in names
    assert "audit-2001-01-01T00-00-00.000.log" not in names
    assert "audit-2002-01-01T00-00-00.000.log" in names
    packed = next(path for path in tmp_path.iterdir() if path.suffix == ".gz")
    assert gzip.decompress(packed.read_bytes()) == b"0123456789"
    file = LogFile(str(tmp_path / "audit.log"), megabytes=1, days=30)
    file.write(b"more than fits")
    file.close()
    assert "audit-2002-01-01T00-00-00.000.log" not in {path.name for path in tmp_path.iterdir()}


def test_sources_are_what_proxies_state_and_then_the_other_end() -> None:
    assert source_ips({"x-forwarded-for": "10.0.0.1, nonsense, ::1"}, "10.0.0.9") == ["10.0.0.1", "::1", "10.0.0.9"]
    assert source_ips({"x-real-ip": "10.0.0.2"}, "10.0.0.2") == ["10.0.0.2"]
    assert source_ips({}, "10.0.0.3") == ["10.0.0.3"]
