"""Lists in protobuf: an item is encoded once, which takes long, so long lists are made in turns with other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from keelson.api.meta import Object
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.encodings import envelopes
from keelson.kube_apiserver.serving.messages import Response
from keelson.kube_apiserver.serving.negotiation import DEFAULT, PARTIAL_LIST, PROTOBUF, Form, names_protobuf_first

from .catalogues import Served
from .listed_pieces import LEAST_ITEMS, Pieces
from .representations import check_partial, object_of, partial

# Items between two turns: some milliseconds of work.
_TURN = 16


def preferred(served: Served, items: Sequence[Item], form: Form, accept: str) -> Form:
    """The form of a list for a client that would take JSON and named protobuf before it.

    Protobuf costs such clients a tenth of what JSON does, and the server much more, once for each state of an object:
    a list that is asked for again is worth it.
    """
    if form != DEFAULT or len(items) < LEAST_ITEMS or served.custom or served.conversion is not None:
        return form
    if not names_protobuf_first(accept):
        return form
    served.protobuf_wanted += 1
    return Form(PROTOBUF) if served.protobuf_wanted > 1 else form


async def collection(
    served: Served, items: Sequence[Item], list_metadata: Object, form: Form, *, run: bool = False
) -> Response:
    """The answer that shows a list, of objects or of their metadata alone; `run` as in `representations`."""
    resource = served.resource
    check_partial(served, form, several=True)
    if form.as_kind == PARTIAL_LIST:
        kinds = (f"meta.k8s.io/{form.version}", "PartialObjectMetadata")
        metadata = await _encoded(items, lambda item: envelopes.encode_item(*kinds, partial(item, form.version)))
        return Response(200, envelopes.encode_list(kinds[0], f"{kinds[1]}List", list_metadata, metadata), PROTOBUF)
    api_version, kind = resource.api_version, resource.kind
    if served.conversion is not None:
        encoded = await _encoded(items, lambda item: envelopes.encode_item(api_version, kind, object_of(served, item)))
    else:
        await _encoded([item for item in items if item.wire is None], lambda item: _wired(served, item))
        if run and len(items) >= LEAST_ITEMS:
            pieces = served.pieces.get(PROTOBUF)
            if pieces is None:
                pieces = served.pieces[PROTOBUF] = Pieces(
                    lambda some: b"".join([_wired(served, item) for item in some])
                )
            encoded = list(pieces.of(items))
        else:
            encoded = [_wired(served, item) for item in items]
    return Response(200, envelopes.encode_list(api_version, served.list_kind, list_metadata, encoded), PROTOBUF)


def _wired(served: Served, item: Item) -> bytes:
    """The item's encoding, made once."""
    if item.wire is None:
        resource = served.resource
        item.wire = envelopes.encode_item(resource.api_version, resource.kind, object_of(served, item))
    return item.wire


async def _encoded(items: Sequence[Item], encode: Callable[[Item], bytes]) -> list[bytes]:
    encoded: list[bytes] = []
    for first in range(0, len(items), _TURN):
        if first:
            await asyncio.sleep(0)
        encoded += [encode(item) for item in items[first : first + _TURN]]
    return encoded
