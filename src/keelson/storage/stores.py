"""The port to the key-value store: what the API server asks of etcd, and no more.

Revisions are etcd's: one counter for the whole store, raised by every write. Every answer tells the revision that it
was read at. `etcd.EtcdStore` and `memory.MemoryStore` implement the port, and one contract suite runs against both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A key as it is at `mod_revision`."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Found(NamedTuple):
    """The answer to `get`."""

    entry: Entry | None
    revision: int


class Page(NamedTuple):
    """Part of a prefix, in the order of keys; `remaining` entries follow the last one."""

    entries: Sequence[Entry]
    revision: int
    remaining: int


class Event(NamedTuple):
    """One change; `entry.value` is empty where it is a deletion."""

    entry: Entry
    deleted: bool


class Batch(NamedTuple):
    """Changes in the order in which they happened. Everything up to `revision` has been told once it is delivered.

    Without events it is a progress notification.
    """

    events: Sequence[Event]
    revision: int


class Watch(Protocol):
    """The changes after a revision; iterate it, then close it."""

    def __aiter__(self) -> AsyncIterator[Batch]:
        """Batches until the watch is closed.

        Raises CompactedError where history has a gap, UnavailableError where the store is lost; the caller then
        watches anew from the last revision it was told.
        """
        ...

    async def request_progress(self) -> None:
        """Ask for a progress notification soon."""
        ...

    async def close(self) -> None:
        """End the iteration."""
        ...


class Store(Protocol):
    """Every method raises UnavailableError within the store's timeout where no member answers."""

    async def get(self, key: str) -> Found:
        """The key now (a linearizable read)."""
        ...

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        """The keys that begin with `prefix` and are not below `start`, at `revision` (0: now, linearizable).

        Raises CompactedError, or FutureRevisionError.
        """
        ...

    async def create(self, key: str, value: bytes, *, ttl: int = 0) -> int:
        """Make the key, for `ttl` seconds where above 0; the revision of the write. Raises KeyExistsError."""
        ...

    async def update(self, key: str, value: bytes, *, expected: int, ttl: int = 0) -> int:
        """Replace the value where the key's mod_revision is `expected`; the revision of the write.

        Raises RevisionConflictError.
        """
        ...

    async def delete(self, key: str, *, expected: int) -> int:
        """Remove the key where its mod_revision is `expected`; the revision of the write.

        Raises RevisionConflictError.
        """
        ...

    async def watch(self, prefix: str, *, after: int) -> Watch:
        """The changes below the prefix after revision `after`."""
        ...

    async def revision(self) -> int:
        """The revision now (linearizable)."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; CompactedError where that is done already."""
        ...

    async def size(self) -> int:
        """How many bytes the store takes, of one of its members."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def range_end(prefix: str) -> bytes:
    """The first key after all those that begin with `prefix` (etcd's clientv3.GetPrefixRangeEnd)."""
    raw = bytearray(prefix.encode())
    while raw:
        if raw[-1] < 0xFF:
            raw[-1] += 1
            return bytes(raw)
        raw.pop()
    return b"\0"
