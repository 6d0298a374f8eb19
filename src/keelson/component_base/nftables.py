"""nft(8) as the daemons run it: one transaction a call, all or nothing.

The program is run for each transaction instead of being linked: its memory is then given back, and a daemon that only
sleeps between changes stays small.
"""

from __future__ import annotations

import asyncio
import os

# A transaction of a large cluster takes a second or two; a nft that hangs holds the kernel's lock and is ended.
_PATIENCE = 60.0


class NftError(Exception):
    """nft refused the commands or did not end; nothing was changed. The message is nft's first lines."""


async def run(*arguments: str, text: str = "") -> str:
    """Run nft with these arguments and `text` as its input; what it prints. NftError where it fails."""
    # A file in memory and not a pipe: nft may end before a pipe was written to, which uvloop calls an error of ours.
    with os.fdopen(os.memfd_create("nft"), "w+b") as commands:
        commands.write(text.encode())
        commands.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                "nft", *arguments, stdin=commands, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise NftError(f"nft can't be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_PATIENCE):
            output, complaint = await process.communicate()
    except TimeoutError as error:
        raise NftError(f"nft did not end within {_PATIENCE:g} s") from error
    finally:
        # Cancelled or too slow: a transaction is atomic in the kernel, it is done or not, and nobody waits for it.
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NftError("; ".join(complaint.decode(errors="replace").strip().splitlines()[:3]))
    return output.decode()


async def apply(commands: str) -> None:
    """Carry out the commands as one transaction; NftError where it is refused."""
    await run("-f", "-", text=commands)
