"""Lists in protobuf: every item is encoded anew, so long lists are made in turns with other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keelson.api.meta import Object
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.encodings import envelopes
from keelson.kube_apiserver.serving.messages import Response
from keelson.kube_apiserver.serving.negotiation import PARTIAL, PROTOBUF, Form

from .catalogues import Served
from .representations import object_of, partial

# Items between two turns: some milliseconds of work.
_TURN = 32


async def collection(served: Served, items: Sequence[Item], list_metadata: Object, form: Form) -> Response:
    """The answer that shows a list, of objects or of their metadata alone."""
    if form.as_kind == PARTIAL:
        api_version, kind, list_kind, show = (
            "meta.k8s.io/v1",
            "PartialObjectMetadata",
            "PartialObjectMetadataList",
            partial,
        )
    else:
        resource = served.resource
        api_version, kind, list_kind, show = resource.api_version, resource.kind, served.list_kind, object_of
    encoded: list[bytes] = []
    for first in range(0, len(items), _TURN):
        if first:
            await asyncio.sleep(0)
        encoded += [
            envelopes.encode_item(api_version, kind, show(served, item)) for item in items[first : first + _TURN]
        ]
    return Response(200, envelopes.encode_list(api_version, list_kind, list_metadata, encoded), PROTOBUF)
