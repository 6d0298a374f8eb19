"""The store on etcd 3.4 and above, over its gRPC API.

Channels are one an endpoint, opened on first use; calls go to one endpoint until it fails, then to the
next. A read moves on silently. A write moves on only where it is certain that it was never taken in; else the caller
learns that its outcome is unknown, because repeating a compare-and-swap would report a conflict with itself.

Calls ask for a leader (`hasleader`), so a member cut off from its quorum refuses instead of answering from the past.

Before 3.4.25 and 3.5.8 a member answers a request for progress with its revision even where it has yet to send events
up to it (etcd issue 15220); whoever believes that reads the past. To such a member a marker is written instead: an
event can't overtake others.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ._gen import etcd_pb2 as pb
from .errors import (
    CompactedError,
    FullError,
    FutureRevisionError,
    KeyExistsError,
    RevisionConflictError,
    StorageError,
    UnavailableError,
)
from .grpc_channels import OUT_OF_TIME, CallError, Channel, Stream
from .http2 import literal
from .stores import Batch, Entry, Event, Found, Page, range_end

log = logging.getLogger(__name__)

Method = tuple[str, bytes, Any]
Trace = Callable[[str], AbstractContextManager[Mapping[str, str]]]

_METADATA = {"hasleader": "true"}
# So many events are told before any more are taken in.
_MOST_EVENTS = 1000
# Details with which etcd, or gRPC before it reached etcd, says that a request was not taken in.
_NOT_TAKEN = ("no leader", "failed to connect", "connection refused", "not capable", "too many requests")
# A lease is shared by keys of one time to live that are written within this share of it.
_LEASE_WINDOW = 0.05
_AGAIN_SECONDS = 0.05
# The first releases of a minor version whose progress notifications can be believed, and how long a watch of an older
# one is silent before it is sent a marker.
_HONEST = {(3, 4): 25, (3, 5): 8}
_SILENCE_SECONDS = 0.1
_MARKER = "keelson-progress"
_MARKER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach etcd. `endpoints` are URLs of one scheme; `timeout` bounds every call, in seconds."""

    endpoints: Sequence[str]
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("at least one etcd endpoint is needed")
        for endpoint in self.endpoints:
            if not endpoint.startswith(("http://", "https://")):
                raise ValueError(f'etcd endpoint "{endpoint}" must begin with http:// or https://')
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("an etcd client certificate and its key go together")


class _Member:
    """One endpoint: its channel and the calls on it."""

    def __init__(self, endpoint: str, settings: Settings, trace: Trace | None) -> None:
        self.endpoint = endpoint
        self._trace = trace
        self.channel = Channel(endpoint.rstrip("/"), _context(endpoint, settings), _METADATA)
        self.range = self._method("/etcdserverpb.KV/Range", pb.RangeResponse)
        self.txn = self._method("/etcdserverpb.KV/Txn", pb.TxnResponse)
        self.compact = self._method("/etcdserverpb.KV/Compact", pb.CompactionResponse)
        self.lease_grant = self._method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
        self.status = self._method("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
        self._watch = self.channel.method("/etcdserverpb.Watch/Watch")

    def _method(self, path: str, answer: Any) -> Method:
        return path, self.channel.method(path), answer

    async def call(self, method: Method, request: Any, timeout: float) -> Any:
        """The answer. Raises CallError."""
        path, headers, answer = method
        if self._trace is None:
            return answer.FromString(await self.channel.unary(headers, request.SerializeToString(), timeout))
        with self._trace(path) as more:
            lines = b"".join([literal(name, value) for name, value in more.items()])
            return answer.FromString(await self.channel.unary(headers + lines, request.SerializeToString(), timeout))

    async def watch(self, request: pb.WatchRequest, timeout: float) -> Stream:
        """A stream that watches. Raises CallError."""
        return await self.channel.stream(self._watch, request.SerializeToString(), timeout)


def _context(endpoint: str, settings: Settings) -> ssl.SSLContext | None:
    if not endpoint.startswith("https://"):
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    context.set_alpn_protocols(["h2"])
    return context


def _translated(error: CallError) -> StorageError:
    details, code = error.details, error.code
    if code == "OUT_OF_RANGE":
        return CompactedError() if "compacted" in details else FutureRevisionError(details)
    if code == "RESOURCE_EXHAUSTED":
        if "space exceeded" in details:
            return FullError(details)
        return UnavailableError(f"etcd refuses writes: {details}")
    ambiguous = error.sent and not any(text in details.lower() for text in _NOT_TAKEN)
    return UnavailableError(f"etcd: {code}: {details}", ambiguous=ambiguous)


def _entry(kv: pb.KeyValue) -> Entry:
    return Entry(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision)


def honest_progress(version: str) -> bool:
    """Whether an etcd of this version tells progress only as far as it has told events (etcd issue 15220)."""
    parts = [int(part) for part in version.partition("-")[0].split(".")]
    first = _HONEST.get((parts[0], parts[1]))
    return parts[2] >= first if first is not None else (parts[0], parts[1]) > (3, 5)


class _Watch:
    """One gRPC stream with one watcher on it."""

    def __init__(self, member: _Member, prefix: str, after: int) -> None:
        self._prefix = prefix
        self._after = after
        self._member = member
        self._call: Stream | None = None
        self._closed = False
        self._honest = True
        self._batches = 0
        self._marking: asyncio.Task[None] | None = None

    async def start(self, timeout: float) -> None:
        """Wait until etcd confirms the watcher."""
        create = pb.WatchCreateRequest(
            key=self._prefix.encode(),
            range_end=range_end(self._prefix),
            start_revision=self._after + 1,
            progress_notify=True,
            fragment=True,
        )
        try:
            async with asyncio.timeout(timeout):
                self._call = await self._member.watch(pb.WatchRequest(create_request=create), timeout)
                answer = await self._call.read()
                told = await self._member.call(self._member.status, pb.StatusRequest(), timeout)
                self._honest = honest_progress(told.version)
        except TimeoutError as error:
            await self.close()
            raise UnavailableError("etcd did not confirm a watch in time") from error
        except CallError as error:
            await self.close()
            raise _translated(error) from error
        if answer is None:
            raise UnavailableError("etcd ended the watch")
        _refuse_cancelled(pb.WatchResponse.FromString(answer))

    async def __aiter__(self) -> AsyncIterator[Batch]:
        pending: list[Event] = []
        assert self._call is not None
        while True:
            try:
                message = await self._call.read()
            except CallError as error:
                if self._closed:
                    return
                raise _translated(error) from error
            if self._closed:
                return
            if message is None:
                raise UnavailableError("etcd ended the watch")
            answer = pb.WatchResponse.FromString(message)
            _refuse_cancelled(answer)
            pending += [Event(_entry(event.kv), event.type == pb.Event.DELETE) for event in answer.events]
            if answer.fragment:
                # Parts of one revision may lie in different fragments; they are told together.
                continue
            self._batches += 1
            if self._call.has_more and len(pending) < _MOST_EVENTS:
                # What came while the last batch was being told costs its readers no more than one event would.
                continue
            # While a watcher catches up the header's revision runs ahead of its events: only a notification's counts.
            revision = pending[-1].entry.mod_revision if answer.events else answer.header.revision
            if not self._honest:
                marker = self._prefix + _MARKER
                pending = [event for event in pending if event.entry.key != marker]
            yield Batch(pending, revision)
            pending = []

    async def request_progress(self) -> None:
        if not self._honest:
            if self._marking is None or self._marking.done():
                self._marking = asyncio.create_task(self._mark())
            return
        assert self._call is not None
        try:
            self._call.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()).SerializeToString())
        except CallError as error:
            raise UnavailableError("the watch has ended") from error

    async def _mark(self) -> None:
        """Write the marker, unless an event comes soon: what is waited for is on its way nearly always."""
        before = self._batches
        await asyncio.sleep(_SILENCE_SECONDS)
        if self._batches != before or self._closed:
            return
        put = pb.PutRequest(key=(self._prefix + _MARKER).encode())
        request = pb.TxnRequest(success=[pb.RequestOp(request_put=put)])
        try:
            await self._member.call(self._member.txn, request, _MARKER_SECONDS)
        except CallError as error:
            log.debug("no marker was written: %s", error)

    async def close(self) -> None:
        self._closed = True
        if self._call is not None:
            self._call.close()
        if self._marking is not None:
            self._marking.cancel()


def _refuse_cancelled(answer: Any) -> None:
    if answer.canceled:
        if answer.compact_revision:
            raise CompactedError(answer.compact_revision)
        raise UnavailableError(f"etcd cancelled the watch: {answer.cancel_reason}")


class EtcdStore:
    """A `stores.Store` on an etcd cluster."""

    def __init__(self, settings: Settings, *, trace: Trace | None = None) -> None:
        """`trace` is asked for a context around each call, which gives the headers that tell etcd whose part it is."""
        self._settings = settings
        self._trace = trace
        self._members: list[_Member | None] = [None] * len(settings.endpoints)
        self._current = 0
        self._leases: dict[int, tuple[int, float]] = {}
        self._lease_locks: dict[int, asyncio.Lock] = {}

    def _member(self) -> _Member:
        member = self._members[self._current]
        if member is None:
            member = self._members[self._current] = _Member(
                self._settings.endpoints[self._current], self._settings, self._trace
            )
        return member

    def _rotate(self, failed: _Member) -> None:
        # Calls that fail together rotate once.
        if self._members[self._current] is failed and len(self._members) > 1:
            self._current = (self._current + 1) % len(self._members)
            log.warning("etcd member %s fails, turning to %s", failed.endpoint, self._settings.endpoints[self._current])

    async def _call(self, method: str, request: Any, *, reads: bool) -> Any:
        deadline = time.monotonic() + self._settings.timeout
        # A member that hangs must leave time for the others, where the call may be repeated on them.
        attempt = self._settings.timeout / len(self._members) if reads else self._settings.timeout
        tried = 0
        cause: StorageError | None = None
        while True:
            member = self._member()
            tried += 1
            left = max(deadline - time.monotonic(), 0.001)
            try:
                return await member.call(getattr(member, method), request, min(attempt, left))
            except CallError as error:
                found = _translated(error)
                if cause is not None and error.details == OUT_OF_TIME:
                    # The last try has no time for anything: what the others failed of says more.
                    found = cause
                cause = found
                if not isinstance(found, UnavailableError) or error.code == "RESOURCE_EXHAUSTED":
                    raise found from error
                self._rotate(member)
                if time.monotonic() >= deadline or (found.ambiguous and not reads):
                    raise found from error
            if tried % len(self._members) == 0:
                # Every member was asked: one of them may come back, or be elected, before the deadline.
                await asyncio.sleep(min(_AGAIN_SECONDS, max(0.0, deadline - time.monotonic())))

    async def get(self, key: str) -> Found:
        answer = await self._call("range", pb.RangeRequest(key=key.encode()), reads=True)
        return Found(_entry(answer.kvs[0]) if answer.kvs else None, answer.header.revision)

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        request = pb.RangeRequest(
            key=max(prefix, start).encode(), range_end=range_end(prefix), limit=limit, revision=revision
        )
        answer = await self._call("range", request, reads=True)
        entries = [_entry(kv) for kv in answer.kvs]
        return Page(entries, revision or answer.header.revision, answer.count - len(entries))

    async def create(self, key: str, value: bytes, *, ttl: int = 0) -> int:
        revision = await self._put(key, value, 0, ttl)
        if not revision:
            raise KeyExistsError(key)
        return revision

    async def update(self, key: str, value: bytes, *, expected: int, ttl: int = 0) -> int:
        revision = await self._put(key, value, expected, ttl)
        if not revision:
            raise RevisionConflictError(key)
        return revision

    async def _put(self, key: str, value: bytes, expected: int, ttl: int) -> int:
        """The revision of the write, 0 where the key's revision was not the expected one."""
        raw = key.encode()
        put = pb.PutRequest(key=raw, value=value, lease=await self._lease(ttl) if ttl > 0 else 0)
        answer = await self._call(
            "txn",
            pb.TxnRequest(compare=[_at_revision(raw, expected)], success=[pb.RequestOp(request_put=put)]),
            reads=False,
        )
        return int(answer.header.revision) if answer.succeeded else 0

    async def _lease(self, ttl: int) -> int:
        """A lease that lasts `ttl` seconds from now, and a little longer where it is shared."""
        async with self._lease_locks.setdefault(ttl, asyncio.Lock()):
            lease, reusable_until = self._leases.get(ttl, (0, 0.0))
            now = time.monotonic()
            if now < reusable_until:
                return lease
            window = min(60, int(ttl * _LEASE_WINDOW))
            answer = await self._call("lease_grant", pb.LeaseGrantRequest(TTL=ttl + window), reads=True)
            self._leases[ttl] = (answer.ID, now + window)
            return int(answer.ID)

    async def delete(self, key: str, *, expected: int) -> int:
        raw = key.encode()
        answer = await self._call(
            "txn",
            pb.TxnRequest(
                compare=[_at_revision(raw, expected)],
                success=[pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=raw))],
            ),
            reads=False,
        )
        if not answer.succeeded:
            raise RevisionConflictError(key)
        return int(answer.header.revision)

    async def watch(self, prefix: str, *, after: int) -> _Watch:
        tried = 0
        while True:
            member = self._member()
            watch = _Watch(member, prefix, after)
            tried += 1
            try:
                await watch.start(self._settings.timeout)
                return watch
            except UnavailableError:
                self._rotate(member)
                if tried >= len(self._members):
                    raise

    async def revision(self) -> int:
        # A linearizable read of a key that need not exist; the header tells the revision.
        answer = await self._call("range", pb.RangeRequest(key=b"\0", count_only=True), reads=True)
        return int(answer.header.revision)

    async def compact(self, revision: int) -> None:
        await self._call("compact", pb.CompactionRequest(revision=revision), reads=True)

    async def size(self) -> int:
        answer = await self._call("status", pb.StatusRequest(), reads=True)
        return int(answer.db_size)

    async def close(self) -> None:
        for member in self._members:
            if member is not None:
                await member.channel.close()


def _at_revision(key: bytes, revision: int) -> pb.Compare:
    return pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=revision)
