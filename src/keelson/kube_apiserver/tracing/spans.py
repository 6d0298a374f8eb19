"""Spans: what a request waited for, each known as the child of what it was part of (W3C Trace Context, OpenTelemetry).

The span that is current goes with the task (a context variable), so that no call hands it on. Outside of a request that
is traced there is none, and `child` costs a look at that variable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import NamedTuple, Self

from keelson.api.errors import StatusError

Value = str | bool | int | float
Attributes = Mapping[str, Value]

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""Kinds of spans, by their numbers in OTLP."""

_HEX = frozenset("0123456789abcdef")
_SIZES = (2, 32, 16, 2)
# The fraction is compared with the last 63 bits of the trace's identity, as OpenTelemetry's TraceIdRatioBased does: all
# servers then agree on a trace.
_DRAWN = 1 << 63
_MOST_STATE = 512


class Link(NamedTuple):
    """Another span, as a traceparent names it. `state` is the tracestate that came with it."""

    trace: int
    span: int
    sampled: bool
    state: str


def parse(headers: Mapping[str, str]) -> Link | None:
    """The parent that headers state (Trace Context, 3.2); None where they state none, or in a form nobody knows."""
    text = headers.get("traceparent")
    if text is None:
        return None
    parts = text.strip().split("-")
    if len(parts) < 4 or tuple(map(len, parts[:4])) != _SIZES or not _HEX.issuperset("".join(parts[:4])):
        return None
    if parts[0] == "ff" or (parts[0] == "00" and len(parts) > 4):
        return None
    trace, span = int(parts[1], 16), int(parts[2], 16)
    if not trace or not span:
        return None
    state = headers.get("tracestate", "")
    return Link(trace, span, bool(int(parts[3], 16) & 1), state if len(state) <= _MOST_STATE else "")


class Event(NamedTuple):
    """Something that happened in the midst of a span; `time` is in nanoseconds since 1970."""

    name: str
    time: int
    attributes: Attributes


class Span:
    """One operation. As a context it is current within, ends with it, and has failed where an exception leaves it.

    `recording` says that it will be exported; others only hand their identity on. Times are in nanoseconds since 1970.
    """

    __slots__ = (
        "_emit", "_token", "attributes", "end", "error", "events", "identity", "kind", "links", "name", "parent",
        "recording", "remote", "start", "state", "trace",
    )  # fmt: skip

    def __init__(
        self,
        emit: Callable[[Span], None],
        name: str,
        kind: int,
        trace: int,
        identity: int,
        parent: int,
        state: str,
        *,
        recording: bool,
    ) -> None:
        self._emit = emit
        self._token: Token[Span | None] | None = None
        self.name = name
        self.kind = kind
        self.trace = trace
        self.identity = identity
        self.parent = parent
        self.state = state
        self.recording = recording
        # Whether the parent is another server's span.
        self.remote = False
        self.start = self.end = 0
        self.attributes: dict[str, Value] = {}
        self.events: list[Event] = []
        self.links: list[Link] = []
        # Why it failed; "" is a failure that its attributes tell.
        self.error: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What tells another server whose child its work is."""
        found = {"traceparent": f"00-{self.trace:032x}-{self.identity:016x}-0{int(self.recording)}"}
        if self.state:
            found["tracestate"] = self.state
        return found

    def enter(self) -> None:
        """Be the current span until `leave`."""
        self._token = _CURRENT.set(self)

    def leave(self) -> None:
        """End, and be current no more."""
        if self._token is not None:
            _CURRENT.reset(self._token)
            self._token = None
        if self.recording:
            self.end = time.time_ns()
            # What still runs on its behalf in other tasks has no part in it any more.
            self.recording = False
            self._emit(self)

    def __enter__(self) -> Self:
        self.start = time.time_ns()
        self.enter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)
        self.leave()

    def fail(self, error: BaseException) -> None:
        """Note why it failed (OpenTelemetry, "Exceptions")."""
        why = str(error) or type(error).__name__
        if not isinstance(error, StatusError) or error.code >= 500:
            # What the client has done wrong is no failure of the server.
            self.error = why
        about = {"exception.type": type(error).__name__, "exception.message": why}
        self.events.append(Event("exception", time.time_ns(), about))


class Nothing:
    """In place of a span where nothing is recorded."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None


NOTHING = Nothing()
_CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
# Identities need not be secret, only different.
_dice = random.Random()  # noqa: S311


def child(name: str, attributes: Attributes | None = None, kind: int = INTERNAL) -> Span | Nothing:
    """A context that is a span of its own within the current one; nothing where that is not recorded."""
    current = _CURRENT.get()
    if current is None or not current.recording:
        return NOTHING
    made = Span(
        current._emit,  # noqa: SLF001 - of the same class
        name,
        kind,
        current.trace,
        _dice.getrandbits(64) or 1,
        current.identity,
        current.state,
        recording=True,
    )
    if attributes:
        made.attributes.update(attributes)
    return made


def ended(parent: Span, name: str, start: int, end: int) -> None:
    """Record a child of a span that is recorded, once it is over; times are in nanoseconds since 1970."""
    made = Span(
        parent._emit,  # noqa: SLF001 - of the same class
        name,
        INTERNAL,
        parent.trace,
        _dice.getrandbits(64) or 1,
        parent.identity,
        parent.state,
        recording=False,
    )
    made.start, made.end = start, end
    parent._emit(made)  # noqa: SLF001


def event(name: str) -> None:
    """Something has happened in the current span."""
    current = _CURRENT.get()
    if current is not None and current.recording:
        current.events.append(Event(name, time.time_ns(), {}))


def headers() -> dict[str, str]:
    """What tells another server that it works for the current span; empty where there is none."""
    current = _CURRENT.get()
    return {} if current is None else current.headers


class Tracer:
    """Decides which requests are traced; `emit` is given their spans as they end."""

    def __init__(self, rate: float, emit: Callable[[Span], None], dice: random.Random = _dice) -> None:
        """`rate` of what has no parent is sampled, from 0 to 1."""
        self._bound = int(rate * _DRAWN)
        self._emit = emit
        self._dice = dice
        # The identity of the next trace that begins here. It is drawn ahead, so that a request on a short road knows
        # whether it is to be traced before there is a span.
        self._next = self._drawn()

    def _drawn(self) -> int:
        return self._dice.getrandbits(128) or 1

    def _samples(self, trace: int) -> bool:
        return (trace & (1 << 64) - 1) >> 1 < self._bound

    @property
    def takes_next(self) -> bool:
        """Whether the next request without a parent is to be traced."""
        return self._samples(self._next)

    def skip(self) -> None:
        """That request took a road without spans."""
        self._next = self._drawn()

    def root(self, name: str, parent: Link | None, *, trusted: bool) -> Span:
        """The span of a request, which is not current yet.

        Who is trusted decides by a parent whether it is sampled. Others' requests begin a trace of their own, which
        is linked to theirs.
        """
        if parent is not None and trusted:
            trace, recording, state, above = parent.trace, parent.sampled, parent.state, parent.span
        else:
            trace, self._next = self._next, self._drawn()
            recording, state, above = self._samples(trace), "", 0
        made = Span(self._emit, name, SERVER, trace, self._dice.getrandbits(64) or 1, above, state, recording=recording)
        made.remote = bool(above)
        if parent is not None and not trusted:
            made.links.append(parent)
        return made
