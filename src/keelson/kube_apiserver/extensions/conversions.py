"""Conversion by webhook: objects of a CRD brought from the version that they are in to another, in one call a batch.

What comes back is pruned and defaulted by the schema of its version, as what comes out of the store is.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import orjson

from keelson.api import errors
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.tracing import spans
from keelson.kube_apiserver.webhooks.clients import CallError, Clients

from . import reviews
from .reviews import ReviewError

# Objects of one review add up to about this: a list of ten thousand must not become one body that no webhook takes.
_BATCH_BYTES = 1 << 20
_CALL_SECONDS = 30.0

_DURATIONS = metrics.histogram(
    "apiserver_crd_conversion_webhook_duration_seconds",
    "CRD webhook conversion duration in seconds",
    ("failure_type", "result"),
    buckets=(0.005, 0.02, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)


class Webhook:
    """The conversion webhook of one CRD. `shape` prunes and defaults an object in place, by its API version."""

    def __init__(
        self,
        clients: Clients,
        client_config: Object,
        review_versions: Sequence[str],
        shape: Callable[[Object], Object],
    ) -> None:
        self._clients = clients
        self._client_config = client_config
        self._review_versions = review_versions
        self._shape = shape

    async def convert(self, objects: Sequence[Object], wanted: str) -> list[Object]:
        """The objects in the API version `wanted`; those that have it are passed through. Raises StatusError 500."""
        found = list(objects)
        batches = _batches({index: obj for index, obj in enumerate(found) if obj.get("apiVersion") != wanted})
        for batch, made in zip(
            batches,
            await asyncio.gather(*(self._asked([found[index] for index in batch], wanted) for batch in batches)),
            strict=True,
        ):
            for index, obj in zip(batch, made, strict=True):
                found[index] = obj
        return found

    async def _asked(self, originals: list[Object], wanted: str) -> list[Object]:
        started = time.perf_counter()
        uid = str(uuid.uuid4())
        failure = "ConversionWebhookCallFailure"
        try:
            version = reviews.version_of(self._review_versions)
            try:
                told: spans.Attributes = {"desired-api-version": wanted, "object-count": len(originals), "UID": uid}
                with spans.child("Call conversion webhook", told):
                    body = await self._clients.call(
                        self._client_config, reviews.request(version, uid, originals, wanted), _CALL_SECONDS
                    )
            except CallError as error:
                about = reviews.described(originals[0])
                raise ReviewError(f"conversion webhook for {about} failed: {error}") from error
            failure = "ConversionWebhookInvalidConvertedObjectFailure"
            made = reviews.converted(version, uid, body, originals, wanted)
        except ReviewError as error:
            _DURATIONS.labels(failure, "failure").observe(time.perf_counter() - started)
            raise errors.internal(str(error)) from error
        _DURATIONS.labels("", "success").observe(time.perf_counter() - started)
        return [self._shape(obj) for obj in made]


def _batches(objects: Mapping[int, Object]) -> list[list[int]]:
    batches: list[list[int]] = []
    room = 0
    for index, obj in objects.items():
        size = len(orjson.dumps(obj))
        if not batches or size > room:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(index)
        room -= size
    return batches
