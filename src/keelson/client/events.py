"""Events: what a daemon tells about an object for people to read (`kubectl describe`, `kubectl get events`).

An event that repeats is one object whose count grows. Telling never blocks or fails the teller: events go through a
bounded queue, and one that finds it full is dropped and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from keelson.api import errors, meta
from keelson.api.meta import Object

from .rest import Client

log = logging.getLogger(__name__)

_QUEUE = 1000
# Events remembered for counting; beyond it the oldest start anew.
_REMEMBERED = 4096
_MESSAGE_LIMIT = 1024


class Recorder:
    """Writes events on behalf of one component. `run` it in a task."""

    def __init__(
        self,
        client: Client,
        *,
        component: str,
        host: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._now = now
        self._queue: asyncio.Queue[Object] = asyncio.Queue(_QUEUE)
        # (namespace, name) and count of the event that was written for this fingerprint.
        self._written: OrderedDict[str, tuple[str, str, int]] = OrderedDict()
        self.dropped = 0

    def event(
        self,
        obj: Object,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field: str = "",
        related: Object | None = None,
        action: str = "",
    ) -> None:
        """Tell of `obj` (with apiVersion and kind); `field` points into it, such as spec.containers{web}.

        `related` is another object that it is about, `action` what was done to `obj` (Event v1).
        """
        moment = meta.format_time(self._now())
        source = {"component": self._component, "host": self._host}
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": meta.namespace(obj) or "default"},
            "involvedObject": _reference(obj, field),
            "reason": reason,
            "message": message[:_MESSAGE_LIMIT],
            "source": {name: value for name, value in source.items() if value},
            "type": type_,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        if related is not None:
            event["related"] = _reference(related)
        if action:
            event["action"] = action
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write what was told until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except errors.StatusError as error:
                # A namespace on its way out takes no more events; nobody will miss them.
                level = logging.DEBUG if error.code in {403, 404} else logging.WARNING
                log.log(level, "event %s not written: %s", event["reason"], error.message)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Wait until all that was told is written; `run` must be running."""
        await self._queue.join()

    async def _write(self, event: Object) -> None:
        fingerprint = _fingerprint(event)
        known = self._written.get(fingerprint)
        if known is not None:
            namespace, name, count = known
            patch = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch("events", name, patch, namespace=namespace)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
            else:
                self._remember(fingerprint, namespace, name, count + 1)
                return
        namespace = meta.namespace(event)
        # Upstream's form: the object's name and a time in hexadecimal nanoseconds.
        event["metadata"]["name"] = f"{event['involvedObject']['name']}.{int(self._now().timestamp() * 1e9):x}"
        await self._client.create("events", event)
        self._remember(fingerprint, namespace, event["metadata"]["name"], 1)

    def _remember(self, fingerprint: str, namespace: str, name: str, count: int) -> None:
        self._written[fingerprint] = (namespace, name, count)
        self._written.move_to_end(fingerprint)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


def _reference(obj: Object, field: str = "") -> Object:
    fields = {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "name": meta.name(obj),
        "namespace": meta.namespace(obj),
        "uid": meta.uid(obj),
        "resourceVersion": meta.resource_version(obj),
        "fieldPath": field,
    }
    return {name: value for name, value in fields.items() if value}


def _fingerprint(event: Object) -> str:
    involved = event["involvedObject"]
    parts = (
        involved.get("kind", ""),
        involved.get("namespace", ""),
        involved.get("name", ""),
        involved.get("uid", ""),
        involved.get("fieldPath", ""),
        event["type"],
        event["reason"],
        event["message"],
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
