"""Spans on their way to the collector: gathered into batches and sent by OTLP over gRPC.

A request never waits for the collector. What a full queue can't take is dropped, as is a batch that could not be
delivered for a minute (OpenTelemetry, "Batching processor" and "OTLP/gRPC throttling").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from keelson.storage.grpc_channels import CallError, Channel

from . import encodings
from .spans import Attributes, Span

log = logging.getLogger(__name__)

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_SCOPE = "keelson.kube_apiserver"
_CALL_SECONDS = 10.0
_MOST_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 30.0
# How long the last spans may take to be delivered when the server ends.
_FLUSH_SECONDS = 5.0
# OTLP's statuses after which the same batch may be sent again.
_PASSING = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})


class Terms(NamedTuple):
    """How long a span waits in seconds, how many wait at most, and how many make a batch at most."""

    delay: float = 5.0
    queue: int = 2048
    batch: int = 512

    @classmethod
    def of_environment(cls) -> Terms:
        """OpenTelemetry's variables (OTEL_BSP_*), where they are numbers above 0."""
        standard = cls()
        return cls(
            _variable("OTEL_BSP_SCHEDULE_DELAY", int(standard.delay * 1000)) / 1000,
            _variable("OTEL_BSP_MAX_QUEUE_SIZE", standard.queue),
            _variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", standard.batch),
        )


def _variable(name: str, standard: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and int(text) else standard


class Exporter:
    """One collector. `run` must be running for anything to be sent."""

    def __init__(self, url: str, resource: Attributes, terms: Terms | None = None) -> None:
        """`resource` says whose spans they are."""
        self._terms = terms or Terms.of_environment()
        self._resource = resource
        self._channel = Channel(url, None, {"user-agent": "keelson"})
        self._method = self._channel.method(_METHOD)
        self._spans: deque[Span] = deque()
        self._full = asyncio.Event()
        self._dropped = 0

    def add(self, span: Span) -> None:
        """Take a span that has ended, or drop it where too many wait."""
        if len(self._spans) >= self._terms.queue:
            self._dropped += 1
            return
        self._spans.append(span)
        if len(self._spans) >= self._terms.batch:
            self._full.set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Deliver while the context is open, and what waits on the way out."""
        task = asyncio.create_task(self._deliver())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            try:
                async with asyncio.timeout(_FLUSH_SECONDS):
                    while self._spans:
                        await self._attempt(self._batch())
            except (TimeoutError, CallError) as error:
                log.warning("the last spans could not be exported: %s", error or "the collector does not answer")
            await self._channel.close()

    async def _deliver(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._terms.delay):
                    await self._full.wait()
            self._full.clear()
            while self._spans:
                await self._send(self._batch())

    def _batch(self) -> bytes:
        spans = [self._spans.popleft() for _ in range(min(len(self._spans), self._terms.batch))]
        return encodings.request(self._resource, _SCOPE, spans)

    async def _send(self, message: bytes) -> None:
        """Send a batch, and again while that may help."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _MOST_SECONDS, _FIRST_PAUSE
        while True:
            try:
                await self._attempt(message)
                break
            except CallError as error:
                if error.code not in _PASSING or loop.time() + pause > deadline:
                    log.warning("spans are lost, traces export: %s", error)
                    break
                log.info("spans wait, traces export: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        if self._dropped:
            log.warning("%d spans were dropped, as too many waited", self._dropped)
            self._dropped = 0

    async def _attempt(self, message: bytes) -> None:
        answer = await self._channel.unary(self._method, message, _CALL_SECONDS)
        if answer:
            # ExportTracePartialSuccess: how many were rejected, and why in words.
            log.warning("the collector did not take all spans: %s", answer.decode("utf-8", "replace"))
