"""Waiting for what other processes do and tell nobody of: the one place where tests ask again and again.

What does tell is waited for where it does: a watch, a pipe, the end of a process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.05


async def until(question: Callable[[], Awaitable[T]], what: Any = "", *, seconds: float = PATIENCE_SECONDS) -> T:
    """The first answer that is true. AssertionError with `what` and the last answer after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := await question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or question}: {answer!r}"
        await asyncio.sleep(_PAUSE_SECONDS)
    return answer


def blocked_until(question: Callable[[], T], what: Any = "", *, seconds: float = PATIENCE_SECONDS) -> T:
    """The same where nothing else is to be done meanwhile."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or question}: {answer!r}"
        time.sleep(_PAUSE_SECONDS)
    return answer
