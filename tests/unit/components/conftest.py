"""What tests with Pulumi's mocks share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
async def worker_threads() -> AsyncIterator[None]:
    """Threads whose event loops end with the test: Pulumi's mocks would make one in each, and never close it."""
    loops: list[asyncio.AbstractEventLoop] = []

    def begin() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loops.append(loop)

    executor = ThreadPoolExecutor(initializer=begin)
    asyncio.get_running_loop().set_default_executor(executor)
    yield
    executor.shutdown()
    for loop in loops:
        loop.close()
