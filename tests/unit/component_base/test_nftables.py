"""nft as a program that may end before it was spoken to: its refusal is what is told, and nothing else breaks."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from keelson.component_base import nftables


@pytest.fixture
def nft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nft"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def write(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_a_program_that_ends_at_once_is_a_refusal(nft: Path) -> None:
    write(nft, "exec 0<&-; echo 'Error: No such file' >&2; exit 1")

    async def ask() -> None:
        # The loop of the daemons. Many at once, so that some end before their input would have been written.
        answers = await asyncio.gather(
            *(nftables.run("list", "tables", text="x" * 100_000) for _ in range(20)), return_exceptions=True
        )
        assert {repr(answer) for answer in answers} == {"NftError('Error: No such file')"}

    uvloop.run(ask())


def test_commands_are_its_input(nft: Path) -> None:
    write(nft, 'echo "$@"; cat')
    assert uvloop.run(nftables.run("-f", "-", text="add table inet x\n")) == "-f -\nadd table inet x\n"
