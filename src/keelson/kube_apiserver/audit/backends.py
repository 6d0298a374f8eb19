"""Where audit events go: a log file, a webhook; at once or in batches.

`blocking` writes an event before the request goes on, and a failure is only counted; `blocking-strict` refuses the
request whose beginning can't be recorded; `batch` collects events and never keeps a request waiting, but drops what its
buffer can't hold.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson

from keelson.api.errors import StatusError
from keelson.api.meta import Object
from keelson.component_base import metrics

from .log_files import LogFile
from .policies import API_VERSION
from .records import legacy

if TYPE_CHECKING:
    from keelson.client.rest import Client

log = logging.getLogger(__name__)

MODES = ("batch", "blocking", "blocking-strict")
FORMATS = ("json", "legacy")

ERRORS = metrics.counter(
    "apiserver_audit_error_total", "Counter of audit events that failed to be audited properly.", ("plugin",)
)
# Attempts at a batch, each after twice the wait of the one before.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Batches:
    """The terms of batching: how many events wait at most, make a batch at most, and for how many seconds at most.

    `bytes` above 0 is how large a batch is at most.
    """

    buffer: int = 10_000
    size: int = 400
    seconds: float = 30.0
    throttle: bool = True
    rate: float = 10.0
    burst: int = 15
    bytes: int = 0


class Backend(Protocol):
    """One destination."""

    def send(self, event: Object) -> bool:
        """Take an event; False where the request must not go on without it."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    async def flush(self) -> None:
        """Deliver what waits, at the end."""
        ...


class Buffer:
    """Events that wait for their batch; `deliver` is called with one batch after another."""

    def __init__(self, plugin: str, terms: Batches, deliver: Callable[[Sequence[Object]], Awaitable[None]]) -> None:
        self._plugin = plugin
        self._terms = terms
        self._deliver = deliver
        # Each with its size, where batches have one.
        self._events: deque[tuple[Object, int]] = deque()
        self._full = asyncio.Event()
        self._some = asyncio.Event()

    def send(self, event: Object) -> bool:
        """Take an event, or drop it where the buffer is full."""
        if len(self._events) >= self._terms.buffer:
            ERRORS.labels(self._plugin).inc()
            return True
        self._events.append((event, len(orjson.dumps(event)) if self._terms.bytes else 0))
        self._some.set()
        if len(self._events) >= self._terms.size:
            self._full.set()
        return True

    async def run(self) -> None:
        """Deliver batch after batch."""
        loop = asyncio.get_running_loop()
        tokens, then = float(self._terms.burst), loop.time()
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(self._terms.seconds):
                    await self._full.wait()
            except TimeoutError:
                log.debug("a batch of audit events goes before it is full")
            if self._terms.throttle:
                now = loop.time()
                tokens = min(tokens + (now - then) * self._terms.rate, self._terms.burst)
                then = now
                if tokens < 1:
                    await asyncio.sleep((1 - tokens) / self._terms.rate)
                tokens -= 1
            await self._next()

    async def _next(self) -> None:
        batch: list[Object] = []
        room = self._terms.bytes
        while self._events and len(batch) < self._terms.size and (not batch or self._events[0][1] <= room):
            event, size = self._events.popleft()
            batch.append(event)
            room -= size
        if len(self._events) < self._terms.size:
            self._full.clear()
        if not self._events:
            self._some.clear()
        if batch:
            await self._deliver(batch)

    async def flush(self) -> None:
        """Deliver all that waits."""
        while self._events:
            await self._next()


class Log:
    """The log backend."""

    def __init__(
        self, file: LogFile, *, mode: str = "blocking", form: str = "json", terms: Batches | None = None
    ) -> None:
        self._file = file
        self._strict = mode == "blocking-strict"
        self._legacy = form == "legacy"
        self._buffer = Buffer("log", terms or Batches(), self._deliver) if mode == "batch" else None

    def _line(self, event: Object) -> bytes:
        return legacy(event).encode() + b"\n" if self._legacy else orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)

    def send(self, event: Object) -> bool:
        """Write the event, or let it wait for its batch."""
        if self._buffer is not None:
            return self._buffer.send(event)
        return self._write(self._line(event), 1) or not self._strict

    def _write(self, data: bytes, count: int) -> bool:
        try:
            self._file.write(data)
        except OSError as error:
            ERRORS.labels("log").inc(count)
            log.error("audit events can't be written: %s", error)
            return False
        return True

    async def _deliver(self, batch: Sequence[Object]) -> None:
        data = b"".join(map(self._line, batch))
        await asyncio.to_thread(self._write, data, len(batch))

    async def run(self) -> None:
        """Write batches."""
        if self._buffer is not None:
            await self._buffer.run()

    async def flush(self) -> None:
        """Write what waits."""
        if self._buffer is not None:
            await self._buffer.flush()
        self._file.close()


class Webhook:
    """The webhook backend: lists of events are posted to the server that a kubeconfig names, in batches."""

    def __init__(self, client: Client, *, terms: Batches | None = None, backoff: float = 10.0) -> None:
        self._client = client
        self._backoff = backoff
        self._buffer = Buffer("webhook", terms or Batches(), self._deliver)

    def send(self, event: Object) -> bool:
        """Let the event wait for its batch."""
        return self._buffer.send(event)

    async def _deliver(self, batch: Sequence[Object]) -> None:
        body = orjson.dumps({"kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": list(batch)})
        pause = self._backoff
        for attempt in range(_ATTEMPTS):
            try:
                await self._client.request("POST", "", body=body, headers={"Content-Type": "application/json"})
            except StatusError as error:
                log.warning("audit events can't be delivered: %s", error)
                # Only what may pass is worth another attempt.
                if attempt == _ATTEMPTS - 1 or not (error.code in (408, 429) or error.code >= 500):
                    ERRORS.labels("webhook").inc(len(batch))
                    return
                await asyncio.sleep(pause)
                pause *= 2
            else:
                return

    async def run(self) -> None:
        """Post batches."""
        async with self._client:
            try:
                await self._buffer.run()
            finally:
                self._backoff = 0.0
                await self._buffer.flush()

    async def flush(self) -> None:
        """Nothing: `run` posts what waits when it is ended."""
