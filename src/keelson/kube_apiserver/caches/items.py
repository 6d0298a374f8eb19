"""What the cache keeps of an object: its bytes, and the few values that lists and watches choose by.

The bytes are the JSON object without its braces, apiVersion and kind: a single answer, a list and a watch event differ
only in what stands around them, so all three are joins of bytes that were encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from keelson.api import field_selectors

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Item:
    """One object as it was at `revision`. Read-only.

    `fields` are the values of the resource's selectable fields, in the order of `Indexer.fields`. `wire` is the object
    as an item of a protobuf list, once somebody wanted it.
    """

    __slots__ = ("body", "fields", "key", "labels", "name", "namespace", "revision", "wire")

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        revision: int,
        labels: Mapping[str, str],
        fields: tuple[str, ...],
        body: bytes,
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.labels = labels
        self.fields = fields
        self.body = body
        self.wire: bytes | None = None

    def object(self, api_version: str, kind: str) -> dict[str, Any]:
        """The object, decoded anew; the caller may change it."""
        decoded: dict[str, Any] = orjson.loads(b"{" + self.body + b"}")
        return {"kind": kind, "apiVersion": api_version, **decoded}

    def at(self, revision: int) -> Item:
        """The same content told as of another revision, as the event of a deletion does."""
        decoded = orjson.loads(b"{" + self.body + b"}")
        decoded["metadata"]["resourceVersion"] = str(revision)
        body = orjson.dumps(decoded)[1:-1]
        return Item(self.key, self.namespace, self.name, revision, self.labels, self.fields, body)


class Indexer(NamedTuple):
    """How items of one resource are made."""

    fields: tuple[str, ...]
    """The selectable fields beside metadata.name and metadata.namespace."""

    read: Callable[[dict[str, Any], str], str] = field_selectors.value_at
    """The value of one of them in an object."""

    def item(self, key: str, obj: dict[str, Any], revision: int) -> Item:
        """The item of a stored object; takes the object over. Revision 0 is that of an object that was not stored."""
        obj.pop("apiVersion", None)
        obj.pop("kind", None)
        metadata = obj["metadata"]
        if revision:
            metadata["resourceVersion"] = str(revision)
        fields = tuple([intern(self.read(obj, path)) for path in self.fields]) if self.fields else ()
        return Item(
            key,
            intern(metadata.get("namespace") or ""),
            metadata.get("name") or "",
            revision,
            metadata.get("labels") or _NO_LABELS,
            fields,
            orjson.dumps(obj)[1:-1],
        )

    def values(self, item: Item) -> dict[str, str]:
        """What a field selector sees of the item."""
        return {
            "metadata.name": item.name,
            "metadata.namespace": item.namespace,
            **dict(zip(self.fields, item.fields, strict=True)),
        }


Decode = Callable[[str, bytes], dict[str, Any]]
"""From (key, stored value) to the object in the resource's storage version."""
