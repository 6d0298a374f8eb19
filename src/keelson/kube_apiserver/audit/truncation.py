"""Audit events kept to a size (--audit-log-truncate-*, --audit-webhook-truncate-*, "Event batching" of Auditing).

An event that is too large goes without its request and response, marked by an annotation; one that is too large even
then is discarded and counted as an error of the plugin "truncate".
"""

from __future__ import annotations

import logging

import orjson

from keelson.api.meta import Object

from .backends import ERRORS, Backend

log = logging.getLogger(__name__)

_ANNOTATION = "audit.k8s.io/truncated"
_WITH_OBJECTS = frozenset({"Request", "RequestResponse"})
_OBJECTS = frozenset({"requestObject", "responseObject"})


def _size(event: Object) -> int:
    # With the newline that ends it in a log.
    return len(orjson.dumps(event)) + 1


class Truncated:
    """A backend that is sent no event of more than `most` bytes."""

    def __init__(self, backend: Backend, most: int) -> None:
        self._backend = backend
        self._most = most

    def send(self, event: Object) -> bool:
        """Take an event; one that is discarded holds no request up."""
        size = _size(event)
        if size > self._most and event["level"] in _WITH_OBJECTS:
            event = {key: value for key, value in event.items() if key not in _OBJECTS}
            event["annotations"] = {**event.get("annotations", {}), _ANNOTATION: "true"}
            size = _size(event)
        if size > self._most:
            ERRORS.labels("truncate").inc()
            log.error("audit event %s is too large even after truncating", event["auditID"])
            return True
        return self._backend.send(event)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._backend.run()

    async def flush(self) -> None:
        """Deliver what waits, at the end."""
        await self._backend.flush()
