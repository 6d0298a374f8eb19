from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelson.kubelet.serving.log_streams import Options, options, stream

_NOW = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)


def line(number: int, name: str = "stdout") -> bytes:
    return f"2026-01-01T00:00:{number:02d}.5Z {name} F {number}\n".encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "0.log"
    found.write_bytes(b"".join(line(number, "stderr" if number % 2 else "stdout") for number in range(10)))
    return found


async def read(path: Path, wanted: Options) -> bytes:
    return b"".join([chunk async for chunk in stream(path, wanted, lambda: False)])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, b"0123456789"),
        ({"tail_lines": 3}, b"789"),
        ({"tail_lines": 0}, b""),
        ({"since": datetime(2026, 1, 1, 0, 0, 8, tzinfo=UTC)}, b"89"),
        ({"stream": "Stderr"}, b"13579"),
        ({"stream": "Stderr", "tail_lines": 2}, b"79"),
        ({"since": datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), "tail_lines": 1}, b"9"),
        ({"limit_bytes": 4}, b"01"),
    ],
)
async def test_what_is_shown(path: Path, wanted: Any, expected: bytes) -> None:
    assert (await read(path, Options(**wanted))).replace(b"\n", b"") == expected


async def test_times(path: Path) -> None:
    assert await read(path, Options(timestamps=True, tail_lines=1)) == b"2026-01-01T00:00:09.5Z 9\n"


def _rotate(path: Path, content: bytes) -> None:
    path.rename(path.with_name("0.log.20260101-000000"))
    path.write_bytes(content)


async def test_following_goes_on_through_a_rotation_until_the_container_ends(path: Path) -> None:
    running = True
    found: list[bytes] = []
    arrived = asyncio.Event()

    async def follow() -> None:
        async for chunk in stream(path, Options(follow=True, tail_lines=1), lambda: running):
            found.append(chunk)
            arrived.set()

    async def next_chunk() -> None:
        async with asyncio.timeout(5):
            await arrived.wait()
        arrived.clear()

    task = asyncio.create_task(follow())
    await next_chunk()
    with path.open("ab") as log:
        log.write(line(11))
    await next_chunk()
    await asyncio.to_thread(_rotate, path, line(12))
    await next_chunk()
    running = False
    with path.open("ab") as log:
        log.write(line(13))
    async with asyncio.timeout(5):
        await task
    assert b"".join(found) == b"9\n11\n12\n13\n"


def test_options_of_a_query() -> None:
    found = options({"follow": "true", "tailLines": "5", "sinceSeconds": "4", "timestamps": "1"}, _NOW)
    assert (found.follow, found.tail_lines, found.timestamps) == (True, 5, True)
    assert found.since == datetime(2026, 1, 1, 0, 0, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "-1"},
        {"tailLines": "x"},
        {"sinceTime": "yesterday"},
        {"stream": "Both"},
        {"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "1"},
    ],
)
def test_bad_options_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        options(query, _NOW)
