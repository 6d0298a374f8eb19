"""Watches: the events of a collection after a revision, as they come over one streaming answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import orjson

from keelson.api import errors
from keelson.api.meta import Object
from keelson.api.resources import Resource, lookup

from .rest import METADATA, Client

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

# A server sends a bookmark at least once a minute; a stream silent for longer is taken as dead.
_SILENCE = 150.0


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event; `object` of a BOOKMARK has only metadata.resourceVersion."""

    type: EventType
    object: Object


async def watch(
    client: Client,
    resource: str | Resource,
    *,
    resource_version: str,
    namespace: str = "",
    label_selector: str = "",
    field_selector: str = "",
    timeout_seconds: int = 0,
    metadata_only: bool = False,
) -> AsyncIterator[WatchEvent]:
    """Events after `resource_version` until the server ends the stream (which it does now and then, in order).

    Raises StatusError: 410 Expired where the revision is gone, so that the caller lists again.
    """
    found = lookup(resource) if isinstance(resource, str) else resource
    query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
    query |= {
        name: value for name, value in (("labelSelector", label_selector), ("fieldSelector", field_selector)) if value
    }
    if timeout_seconds:
        query["timeoutSeconds"] = str(timeout_seconds)
    headers = {"Accept": METADATA if metadata_only else "application/json"}
    async with client.stream("GET", found.path(namespace or None), query=query, headers=headers) as answer:
        rest = b""
        while True:
            async with asyncio.timeout(_SILENCE):
                chunk = await answer.content.readany()
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not line:
                    continue
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise errors.StatusError.from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])
