"""What runs in a test's own event loop beside the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

# What is cancelled in mid-request says goodbye by TLS in the background, and nothing tells when it has: time for that,
# or the loop ends before and the interpreter complains of open sockets.
_FAREWELL_SECONDS = 0.2


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run these while the context is open, then cancel them. Raises what ended one of them before."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        for task in ended:
            await task
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def farewells() -> AsyncIterator[None]:
    """Around clients of a test's loop: lets the connections that they left end before the loop does."""
    try:
        yield
    finally:
        await asyncio.sleep(_FAREWELL_SECONDS)
