"""Items as answers: one object, a list, a watch event, each in the form that was negotiated.

The plain JSON form of the stored version is a join of bytes. Every other form (another version, YAML, a Table, metadata
alone) decodes what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from keelson.api import cbor, errors, meta
from keelson.api.meta import Object
from keelson.component_base.histograms import Histogram
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.caches.watchers import BOOKMARK
from keelson.kube_apiserver.encodings import envelopes
from keelson.kube_apiserver.encodings.answers import to_yaml
from keelson.kube_apiserver.serving.messages import Response
from keelson.kube_apiserver.serving.negotiation import (
    CBOR,
    JSON,
    OBJECT,
    PARTIAL,
    PARTIAL_LIST,
    PROTOBUF,
    TABLE,
    YAML,
    Form,
)
from keelson.kube_apiserver.serving.pieces import Piece

from . import listed_values
from .catalogues import Served
from .listed_pieces import LEAST_ITEMS, Pieces

_COMMA = Piece(b",")
_STEP = 256
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def _now() -> datetime:
    return datetime.now(UTC)


def dumps(value: Any, media_type: str, *, pretty: bool = False) -> bytes:
    """A whole value in a media type; `pretty` is for JSON alone."""
    if media_type == YAML:
        return to_yaml(value)
    if media_type == PROTOBUF:
        return envelopes.encode(value)
    if media_type == CBOR:
        return cbor.dumps(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) if pretty else orjson.dumps(value)


def object_of(served: Served, item: Item) -> Object:
    """The object in the served version."""
    obj = item.object(served.stored_api_version, served.resource.kind)
    return served.conversion.from_stored(obj) if served.conversion is not None else obj


def opening(served: Served) -> bytes:
    """What stands before the body of an item in plain JSON."""
    return b'{"kind":"%b","apiVersion":"%b",' % (
        served.resource.kind.encode(),
        served.resource.api_version.encode(),
    )


def partial(item: Item, version: str) -> Object:
    """PartialObjectMetadata of the item, in a version of meta.k8s.io."""
    metadata = orjson.loads(b"{" + item.body + b"}").get("metadata")
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}


def check_partial(served: Served, form: Form, *, several: bool) -> None:
    """Refuse a list's metadata to those who ask for an object's, and the other way round. Raises StatusError 406."""
    if form.as_kind not in (PARTIAL, PARTIAL_LIST) or several == (form.as_kind == PARTIAL_LIST):
        return
    package = (served.resource.group or "core").partition(".")[0]
    kind = served.list_kind if several else served.resource.kind
    type_ = f"unstructured.Unstructured{'List' if several else ''}" if served.custom else f"{package}.{kind}"
    what = "a list" if several else "not a list"
    message = f"you requested {form.as_kind}, but the requested object is {what} (*{type_})"
    raise errors.StatusError(406, "NotAcceptable", message)


def _custom_table(served: Served) -> Any:
    from keelson.api import tables

    if "printer" not in served.extras:
        served.extras["printer"] = tables.custom_columns(served.extras.get("additionalPrinterColumns") or [])
    return served.extras["printer"]


def table(served: Served, items: Sequence[Item], include: str, list_metadata: Object, version: str = "v1") -> Object:
    """A Table of the items in a version of meta.k8s.io; `include` is Metadata, Object or None."""
    # Only those who ask for tables pay for the printers.
    from keelson.api import tables

    objects = [object_of(served, item) for item in items]
    more = {"custom": _custom_table(served)} if served.custom else {}
    result: Object = tables.table(
        served.resource, objects, _now(), include_object=include, list_metadata=list_metadata, **more
    )
    if version != "v1":
        for shown in (result, *(row["object"] for row in result["rows"] if include == "Metadata")):
            shown["apiVersion"] = f"meta.k8s.io/{version}"
    return result


def single(served: Served, item: Item, form: Form, *, status: int = 200, include: str = "") -> Response:
    """The answer that shows one object."""
    if form.as_kind == OBJECT and form.media_type == JSON and served.is_plain and not form.pretty:
        return Response(status, [opening(served), item.body, b"}"])
    check_partial(served, form, several=False)
    if form.as_kind == TABLE:
        value = table(served, [item], include or "Metadata", {"resourceVersion": str(item.revision)}, form.version)
    elif form.as_kind == PARTIAL:
        value = partial(item, form.version)
    else:
        value = object_of(served, item)
    return Response(status, dumps(value, form.media_type, pretty=form.pretty), form.media_type)


async def collection(
    served: Served, items: Sequence[Item], list_metadata: Object, form: Form, *, include: str = "", run: bool = False
) -> Response:
    """The answer that shows a list; `run` says that no item between the first and the last is left out."""
    if form.as_kind == OBJECT and form.media_type == JSON and served.is_plain and not form.pretty:
        return Response(200, _joined(served, items, list_metadata, run=run))
    check_partial(served, form, several=True)
    if form.as_kind == TABLE:
        value = table(served, items, include or "Metadata", list_metadata, form.version)
        return Response(200, dumps(value, form.media_type, pretty=form.pretty), form.media_type)
    if form.as_kind == PARTIAL_LIST:
        opened = {"kind": form.as_kind, "apiVersion": f"meta.k8s.io/{form.version}", "metadata": list_metadata}
        parts = await listed_values.parts(opened, items, lambda item: partial(item, form.version), form)
    else:
        opened = {
            "kind": served.list_kind,
            "apiVersion": served.resource.api_version,
            "metadata": list_metadata,
        }
        parts = await listed_values.parts(opened, items, lambda item: _listed(served, item), form)
    return Response(200, parts, form.media_type)


def _listed(served: Served, item: Item) -> Object:
    """An item of a list: built-in kinds leave out what is the same for every item, as upstream's do."""
    obj = object_of(served, item)
    if not served.custom:
        obj.pop("apiVersion", None)
        obj.pop("kind", None)
    return obj


def _joined(served: Served, items: Sequence[Item], list_metadata: Object, *, run: bool) -> list[bytes]:
    start = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        served.list_kind.encode(),
        served.resource.api_version.encode(),
        orjson.dumps(list_metadata),
    )
    if not items:
        return [start, b"]}"]
    # Built-in lists leave out what is the same for every item, as upstream's do; custom ones repeat it.
    before = opening(served) if served.custom else b"{"
    between = b"}," + before

    def join(some: Sequence[Item]) -> bytes:
        return before + between.join([item.body for item in some]) + b"}"

    if run and len(items) >= LEAST_ITEMS:
        pieces = served.pieces.get(JSON)
        if pieces is None:
            pieces = served.pieces[JSON] = Pieces(join)
        parts: list[bytes] = [start]
        for piece in pieces.of(items):
            parts += (piece, _COMMA)
        parts[-1] = b"]}"
        return parts
    # Parts of a few hundred items: large enough to be cheap, small enough to be sent in turns with others' answers.
    parts = [start]
    for first in range(0, len(items), _STEP):
        parts.append((b"," if first else b"") + join(items[first : first + _STEP]))
    parts.append(b"]}")
    return parts


EVENT_BYTES = tuple(1024.0 * 2**power for power in range(8))
"""Bounds of the sizes of watch events."""


class JsonFrames:
    """Watch events in plain JSON of one served version. The last few frames are kept: groups share them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._head = opening(served)
        self.sizes = Histogram(EVENT_BYTES)
        self._last: tuple[str, Item, bytes] | None = None

    def frame(self, type_: str, item: Item) -> bytes:
        """The event's line."""
        last = self._last
        if last is not None and last[0] == type_ and last[1] is item:
            return last[2]
        if self._served.is_plain:
            line = b'{"type":"%b","object":%b%b}}\n' % (type_.encode(), self._head, item.body)
        else:
            line = orjson.dumps({"type": type_, "object": object_of(self._served, item)}) + b"\n"
        self._last = (type_, item, line)
        return line


class OtherFrames:
    """Watch events in any other form. The last frame is kept: groups share it."""

    def __init__(self, served: Served, form: Form, include: str) -> None:
        self._last: tuple[str, Item, bytes] | None = None
        self._served = served
        self._form = form
        self._include = include
        self.sizes = Histogram(EVENT_BYTES)

    def frame(self, type_: str, item: Item) -> bytes:
        """The event: one line of JSON, one item of CBOR, or one frame of protobuf."""
        last = self._last
        if last is not None and last[0] == type_ and last[1] is item:
            return last[2]
        if self._form.as_kind == TABLE:
            metadata = {"resourceVersion": str(item.revision)}
            shown = table(self._served, [item], self._include or "Metadata", metadata, self._form.version)
        elif self._form.as_kind != OBJECT:
            shown = partial(item, self._form.version)
        else:
            shown = object_of(self._served, item)
        made = event(type_, shown, self._form.media_type)
        self._last = (type_, item, made)
        return made


def frames(served: Served, form: Form, include: str) -> JsonFrames | OtherFrames:
    """The one object that makes the frames of this form."""
    key = (form, include)
    found: JsonFrames | OtherFrames | None = served.frames.get(key)
    if found is None:
        plain = form.as_kind == OBJECT and form.media_type == JSON
        found = served.frames[key] = JsonFrames(served) if plain else OtherFrames(served, form, include)
    return found


def stream_type(form: Form) -> str:
    """The media type of a watch in this form."""
    if form.media_type == CBOR:
        return cbor.SEQUENCE_MEDIA_TYPE
    return envelopes.WATCH_MEDIA_TYPE if form.media_type == PROTOBUF else form.media_type


def event(type_: str, shown: Object, media_type: str = JSON) -> bytes:
    """A watch event of any object."""
    if media_type == PROTOBUF:
        return envelopes.encode_event(type_, shown)
    value = {"type": type_, "object": shown}
    if media_type == CBOR:
        # A sequence of items, each with its end in itself (RFC 8742); the object keeps the prefix that it has alone.
        kind, name = cbor.encode("type") + cbor.encode(type_), cbor.encode("object")
        return cbor.PREFIX + cbor.map_head(2) + kind + name + cbor.dumps(shown)
    return orjson.dumps(value) + b"\n"


def bookmark(served: Served, form: Form, revision: int, *, initial_end: bool = False) -> bytes:
    """A BOOKMARK event: everything up to `revision` has been told."""
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    version = f"meta.k8s.io/{form.version}"
    if form.as_kind == TABLE:
        row = {
            "cells": [],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata},
        }
        shown: Object = {
            "kind": "Table",
            "apiVersion": version,
            "metadata": {"resourceVersion": str(revision)},
            "columnDefinitions": None,
            "rows": [row],
        }
    elif form.as_kind != OBJECT:
        shown = {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata}
    else:
        shown = {"kind": served.resource.kind, "apiVersion": served.resource.api_version, "metadata": metadata}
    return event(BOOKMARK, shown, form.media_type)


def name_of(obj: Object) -> str:
    """The object's name, or its generateName, for messages."""
    return meta.name(obj) or meta.metadata(obj).get("generateName") or ""
