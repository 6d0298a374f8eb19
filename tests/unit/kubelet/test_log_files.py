from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from keelson.kubelet import log_files
from keelson.kubelet.log_files import moment, parse, start_of_tail, tail


def line(number: int, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-01-01T00:00:{number:02d}.123456789Z {stream} {tag} line {number}\n".encode()


def test_entries() -> None:
    entry = parse(line(1, "stderr").rstrip())
    assert entry is not None
    assert (entry.stream, entry.partial, entry.text) == (b"stderr", False, b"line 1\n")
    part = parse(line(1, tag="P").rstrip())
    assert part is not None
    assert part.text == b"line 1"
    assert parse(b"nonsense") is None
    assert parse(b"time nowhere F text") is None
    empty = parse(b"2026-01-01T00:00:00Z stdout F ")
    assert empty is not None
    assert empty.text == b"\n"


def test_times_are_read_to_the_microsecond() -> None:
    assert moment(b"2026-01-01T00:00:00.123456789Z").microsecond == 123456
    assert moment(b"2026-01-01T00:00:00.5+01:00").isoformat() == "2026-01-01T00:00:00.500000+01:00"
    assert moment(b"2026-01-01T00:00:00Z").microsecond == 0


@pytest.mark.parametrize("count", [0, 1, 3, 9, 10, 11])
@pytest.mark.parametrize("block", [7, 64, 65536])
def test_the_end_is_found_from_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, block: int) -> None:
    monkeypatch.setattr(log_files, "_BLOCK", block)
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(line(number) for number in range(10)))
    with path.open("rb") as stream:
        stream.seek(start_of_tail(stream, count))
        assert stream.read().count(b"\n") == min(count, 10)
    expected = b"".join(f"line {number}\n".encode() for number in range(10 - min(count, 10), 10))
    assert tail(path, lines=count, limit=10_000) == expected


def test_a_missing_log_has_no_end(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", lines=5, limit=10) == b""


def test_rotated_files(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    (tmp_path / "0.log.20260101-000001").write_bytes(line(2))
    with gzip.open(tmp_path / "0.log.20260101-000000.gz", "wb") as stream:
        stream.write(line(1))
    (tmp_path / "0.log.20260101-000002.tmp").touch()
    found = log_files.rotated(path)
    assert [each.name for each in found] == ["0.log.20260101-000000.gz", "0.log.20260101-000001"]
    assert [list(log_files.lines_of(each)) for each in found] == [[line(1).rstrip()], [line(2).rstrip()]]
