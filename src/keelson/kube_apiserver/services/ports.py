"""Node ports: one bitmap for the cluster, changed by compare-and-swap.

The bitmap is upstream's: a RangeAllocation at `ranges/servicenodeports`, whose data is a big-endian integer with one
bit a port, so that both servers may allocate on one store.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

import orjson

from keelson.kube_apiserver.encodings import protobuf
from keelson.kube_apiserver.registry.objects import translated
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Store
from keelson.storage.transformers import Transformer

_SWAP_ATTEMPTS = 32
_LEAST_BAND, _MOST_BAND = 16, 128


class TakenError(Exception):
    """The port belongs to another Service, or lies outside of the range (`outside`)."""

    def __init__(self, port: int, *, outside: bool = False) -> None:
        super().__init__(port)
        self.port = port
        self.outside = outside


class FullError(Exception):
    """No port is left."""


class Ports:
    """The node ports from `first` to `last`."""

    def __init__(self, first: int, last: int, store: Store, transformer: Transformer, root: str) -> None:
        self.first = first
        self.last = last
        self._store = store
        self._transformer = transformer
        self._key = f"{root}ranges/servicenodeports"
        # How many are taken, as of the last change that was made here; None before the first.
        self.allocated: int | None = None

    @property
    def size(self) -> int:
        """How many there are."""
        return self.last - self.first + 1

    async def _change(self, change: Callable[[int], int]) -> None:
        """Swap the bitmap for what `change` makes of it."""
        try:
            for _ in range(_SWAP_ATTEMPTS):
                entry = (await self._store.get(self._key)).entry
                bits = self._bits(entry.value) if entry is not None else 0
                new = change(bits)
                if new == bits and entry is not None:
                    return
                value = self._value(new)
                try:
                    if entry is None:
                        await self._store.create(self._key, value)
                    else:
                        await self._store.update(self._key, value, expected=entry.mod_revision)
                except (storage_errors.KeyExistsError, storage_errors.RevisionConflictError):
                    continue
                self.allocated = new.bit_count()
                return
            raise FullError("the bitmap of node ports is too busy")
        except storage_errors.UnavailableError as error:
            raise translated(error) from error

    def _bits(self, stored: bytes) -> int:
        plain, _ = self._transformer.decode(self._key, stored)
        obj = protobuf.decode(plain) if plain.startswith(protobuf.MAGIC) else orjson.loads(plain)
        return int.from_bytes(base64.b64decode(obj.get("data") or ""), "big")

    def _value(self, bits: int) -> bytes:
        data = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
        obj = {
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {"creationTimestamp": None},
            "range": f"{self.first}-{self.last}",
            "data": base64.b64encode(data).decode(),
        }
        return self._transformer.encode(self._key, orjson.dumps(obj))

    async def take(self, port: int) -> None:
        """Take this port. Raises TakenError."""
        if not self.first <= port <= self.last:
            raise TakenError(port, outside=True)
        bit = 1 << (port - self.first)

        def change(bits: int) -> int:
            if bits & bit:
                raise TakenError(port)
            return bits | bit

        await self._change(change)

    async def take_any(self) -> int:
        """Take a free port, from the upper band while it has one (KEP-3668). Raises FullError."""
        chosen = 0
        size = self.size
        lower = min(max(_LEAST_BAND, size // 32), _MOST_BAND) if size > _LEAST_BAND else 0

        def change(bits: int) -> int:
            nonlocal chosen
            for start, end in ((lower, size), (0, lower)):
                free = [offset for offset in range(start, end) if not bits >> offset & 1]
                if free:
                    offset = secrets.choice(free)
                    chosen = self.first + offset
                    return bits | 1 << offset
            raise FullError("range is full")

        await self._change(change)
        return chosen

    async def release(self, port: int) -> None:
        """Give a port back; harmless where it is free."""
        if self.first <= port <= self.last:
            bit = 1 << (port - self.first)
            await self._change(lambda bits: bits & ~bit)
